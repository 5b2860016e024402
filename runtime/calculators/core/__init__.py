"""The calculators every graph needs: gates, loops, merging, flow control, vectors, side packets."""

from pocketgraph.runtime.calculators.core import switch_container
from pocketgraph.runtime.calculators.core.begin_loop import BeginLoop
from pocketgraph.runtime.calculators.core.clip_vector_size import ClipVectorSize
from pocketgraph.runtime.calculators.core.concatenate_vector import ConcatenateVector
from pocketgraph.runtime.calculators.core.constant_side_packet import ConstantSidePacket
from pocketgraph.runtime.calculators.core.end_loop import EndLoop
from pocketgraph.runtime.calculators.core.flow_limiter import FlowLimiter
from pocketgraph.runtime.calculators.core.gate import Gate
from pocketgraph.runtime.calculators.core.get_vector_item import GetVectorItem
from pocketgraph.runtime.calculators.core.has_min_size import HasMinSize
from pocketgraph.runtime.calculators.core.immediate_mux import ImmediateMux
from pocketgraph.runtime.calculators.core.local_file_contents import LocalFileContents
from pocketgraph.runtime.calculators.core.merge import Merge
from pocketgraph.runtime.calculators.core.mux import Mux
from pocketgraph.runtime.calculators.core.packet_cloner import PacketCloner
from pocketgraph.runtime.calculators.core.packet_presence import PacketPresence
from pocketgraph.runtime.calculators.core.packet_resampler import PacketResampler
from pocketgraph.runtime.calculators.core.packet_sequencer import PacketSequencer
from pocketgraph.runtime.calculators.core.pass_through import PassThrough
from pocketgraph.runtime.calculators.core.previous_loopback import PreviousLoopback
from pocketgraph.runtime.calculators.core.side_packet_to_stream import SidePacketToStream
from pocketgraph.runtime.calculators.core.split_vector import SplitVector
from pocketgraph.runtime.calculators.core.stream_to_side_packet import StreamToSidePacket
from pocketgraph.runtime.calculators.core.switch_demux import SwitchDemux
from pocketgraph.runtime.calculators.core.switch_mux import SwitchMux

__all__ = [
    "BeginLoop",
    "ClipVectorSize",
    "ConcatenateVector",
    "ConstantSidePacket",
    "EndLoop",
    "FlowLimiter",
    "Gate",
    "GetVectorItem",
    "HasMinSize",
    "ImmediateMux",
    "LocalFileContents",
    "Merge",
    "Mux",
    "PacketCloner",
    "PacketPresence",
    "PacketResampler",
    "PacketSequencer",
    "PassThrough",
    "PreviousLoopback",
    "SidePacketToStream",
    "SplitVector",
    "StreamToSidePacket",
    "SwitchDemux",
    "SwitchMux",
    "switch_container",
]
