"""The scheduler: which task runs next, on which thread, and what happens when nothing is left to do.

A task opens a node, has it process one set of inputs, or closes it. Only the calculator's own code runs without the
lock; queues, bounds and readiness change under it, so what is delivered does not depend on the number of threads:
each reader sees the same packets in the same order, and the Default policy makes the same input sets of them.

With no threads the graph is synchronous: tasks run in the caller's thread, while packets are added and while it waits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from pocketgraph.models.errors import GraphCancelledError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import STOP
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.node import SOURCE_PRIORITY, RunningNode
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.streams import CLOSED, OPENED, OutputStream
from pocketgraph.runtime.graph.throttle import Throttle
from pocketgraph.runtime.graph.timestamp import DONE, MAX, MIN, UNSTARTED, text_of

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.profile import Profiler

NOT_STARTED, RUNNING, TERMINATED = "not started", "running", "terminated"
OPEN_PRIORITY: Final = -(1 << 40)


class _Failure:
    """What a calculator raised, carried to where it is recorded."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Executor:
    """A queue of tasks and the threads that work on it; `threads` 0 runs them in the caller's thread."""

    def __init__(self, name: str, threads: int, lock: Any) -> None:
        self.name = name
        self.threads = threads
        self.heap: list[tuple[int, int, RunningNode, Context | None, bool]] = []
        """Priority, number, node, context, and whether it is plainly to be processed."""
        self.wake = threading.Condition(lock)
        self.idle = 0
        self.workers: list[threading.Thread] = []


class Scheduler:
    """One graph's tasks, from `start` to termination; `prepare` makes it ready for another run."""

    def __init__(self, *, report_deadlock: bool) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.throttle = Throttle()
        self.report_deadlock = report_deadlock
        self.nodes: list[RunningNode] = []
        self.executors: dict[str, Executor] = {}
        self.synchronous = False
        self.on_error: Callable[[GraphRuntimeError], None] | None = None
        self.profiler: Profiler | None = None
        self.state = NOT_STARTED
        self.errors: list[GraphRuntimeError] = []
        self.prepare(inputs_closed=False)

    def prepare(self, *, inputs_closed: bool) -> None:
        """Forget the last run."""
        self.state = NOT_STARTED
        self.errors = []
        self.busy = 0
        self.number = 0
        self.paused = False
        self.stopping = False
        self.inputs_closed = inputs_closed
        self.moves: deque[tuple[OutputStream, int]] = deque()
        self.active: Executor | None = None
        self.waiting_sources: list[RunningNode] = []
        self.active_sources: list[RunningNode] = []
        self.observed = 0
        self.in_run = False
        self.has_sources = False
        self.side_packets: dict[str, Packet] = {}
        for executor in self.executors.values():
            executor.heap.clear()
            executor.idle = 0

    def add_executor(self, name: str, threads: int) -> Executor:
        executor = self.executors[name] = Executor(name, threads, self.lock)
        return executor

    def start(self) -> None:
        """Open what can be opened, and let the threads loose."""
        self.has_sources = any(node.is_source for node in self.nodes)
        with self.lock:
            self.state = RUNNING
            for node in self.nodes:
                if not node.waits:
                    self.push(node, None, OPEN_PRIORITY + node.number)
            self._settle()
            if not self.busy:
                self._idle()
        if self.synchronous:
            self.run(sources=False)
            return
        for executor in self.executors.values():
            for number in range(executor.threads):
                name = f"pocketgraph-{executor.name or 'graph'}-{number}"
                worker = threading.Thread(target=self._work, args=(executor,), name=name, daemon=True)
                executor.workers.append(worker)
                worker.start()

    def push(self, node: RunningNode, context: Context | None, priority: int) -> None:
        """Queue a task of `node`; no context opens it, one at Done closes it."""
        self.busy += 1
        self.number += 1
        executor = node.executor
        heappush(executor.heap, (priority, self.number, node, context, False))
        if executor.idle:
            self.wake(executor)

    def wake(self, executor: Executor) -> None:
        """Wake a thread for a task just queued, unless the one that queued it will take it itself."""
        if executor is not self.active or len(executor.heap) > 1:
            executor.wake.notify()

    def later(self, stream: OutputStream, bound: int) -> None:
        """Move a bound once the present step is done, so that long chains need no deep stack."""
        self.moves.append((stream, bound))

    def run(self, until: Callable[[], bool] | None = None, *, sources: bool = True) -> None:
        """Synchronous mode: work off tasks in this thread, until `until` or nothing is left.

        Without `sources`, stop where only sources could go on.
        """
        with self.lock:
            if self.in_run:
                return
            self.in_run = True
            (executor,) = self.executors.values()
            heap = executor.heap
            profiled = self.profiler is not None
            sources = sources or not self.has_sources
            try:
                while heap and not self.paused and not (until is not None and until()):
                    if not sources and heap[0][0] >= SOURCE_PRIORITY:
                        break
                    _, _, node, context, plain = heappop(heap)
                    if not plain or context is None or self.errors or profiled:
                        self._after(node, context, self._call(node, context))
                        continue
                    try:
                        if node.process(context) is STOP:
                            self.stop_sources()
                        node.processed(context)
                        if self.moves:
                            self._settle()
                    except Exception as error:  # noqa: BLE001 - whatever is raised is the run's error
                        self.fail(node, context, error)
                    except BaseException as error:
                        self.interrupted(node, context, error)
                        raise
                    self.busy -= 1
                    if not self.busy:
                        self._idle()
            finally:
                self.in_run = False

    def _work(self, executor: Executor) -> None:
        """What each thread does: take the first task, run it unlocked, pass on what came of it."""
        heap = executor.heap
        with self.lock:
            self.active = executor
            while True:
                while not heap or self.paused:
                    if self.state == TERMINATED:
                        return
                    executor.idle += 1
                    self.active = None
                    executor.wake.wait()
                    executor.idle -= 1
                    self.active = executor
                _, _, node, context, _ = heappop(heap)
                self.active = None
                self.lock.release()
                try:
                    outcome = self._call(node, context)
                finally:
                    self.lock.acquire()
                    self.active = executor
                self._after(node, context, outcome)
                del node, context, outcome

    def _call(self, node: RunningNode, context: Context | None) -> Any:
        """Run the calculator's code; returns what it returned, or its error."""
        if self.errors:
            return None
        began = time.perf_counter_ns() if self.profiler is not None else 0
        try:
            if context is None:
                node.open()
                result = None
            elif context.timestamp == DONE:
                node.close(None)
                result = None
            else:
                result = node.process(context)
        except Exception as error:  # noqa: BLE001 - whatever a calculator raises is the run's error
            return _Failure(error)
        except BaseException as error:
            if self.synchronous:
                self.interrupted(node, context, error)
                raise
            return _Failure(error)
        if self.profiler is not None:
            self.profiler.called(node, context, began, time.perf_counter_ns())
        return result

    def _after(self, node: RunningNode, context: Context | None, result: Any) -> None:
        """Under the lock: pass on what a task brought about."""
        if result.__class__ is _Failure:
            self.fail(node, context, result.error)
        elif not self.errors:
            try:
                if context is None:
                    node.opened()
                elif context.timestamp == DONE:
                    node.closed()
                elif node.is_source:
                    self._source_processed(node, context, result)
                else:
                    node.processed(context)
                    if result is STOP:
                        self.stop_sources()
                if self.moves:
                    self._settle()
            except Exception as error:  # noqa: BLE001 - a thread that ends of it would leave the others waiting
                self.fail(node, context, error)
        self.busy -= 1
        if not self.busy:
            self._idle()

    def _settle(self) -> None:
        moves = self.moves
        while moves:
            stream, bound = moves.popleft()
            if not stream.closed and bound > stream.bound:
                stream.move_bound(bound)

    def finish_step(self) -> None:
        """After something came from outside, under the lock: move the bounds that follow, look for more to do."""
        if self.moves:
            self._settle()
        if not self.busy:
            self._idle()

    def _source_processed(self, node: RunningNode, context: Context, result: Any) -> None:
        node.emit(context, context.timestamp)
        node.in_flight = 0
        if result is STOP or self.stopping:
            self.close_source(node)
        else:
            node.schedule_source()

    def close_source(self, node: RunningNode) -> None:
        if node.status == OPENED and not node.in_flight:
            node.in_flight = 1
            node.context.timestamp = DONE
            self.push(node, node.context, SOURCE_PRIORITY)

    def stop_sources(self) -> None:
        """Close all sources; what is queued is still worked off."""
        self.stopping = True

    def fail(self, node: RunningNode | None, context: Context | None, error: BaseException) -> None:
        """Record an error that names node and timestamp; nothing is started any more."""
        if node is None:
            record = error if isinstance(error, GraphRuntimeError) else GraphRuntimeError(str(error))
        else:
            timestamp = UNSTARTED if context is None else context.timestamp
            phase = "opening" if context is None else "closing" if timestamp == DONE else "processing"
            at = f" at timestamp {text_of(timestamp)}" if MIN <= timestamp <= MAX else ""
            said = str(error) if isinstance(error, GraphRuntimeError) else f"{type(error).__name__}: {error}"
            record = GraphRuntimeError(
                f'node "{node.name}" ({node.kind}) failed while {phase}{at}: {said}',
                node=node.name,
                timestamp=timestamp,
            )
            record.__cause__ = error
        with self.lock:
            self.errors.append(record)
            self.changed.notify_all()
        if self.on_error is not None:
            self.on_error(record)

    def interrupted(self, node: RunningNode, context: Context | None, error: BaseException) -> None:
        """Ctrl-C and the like in the caller's thread: the run is over, and the exception goes on to the caller."""
        self.fail(node, context, error)
        self.busy -= 1
        if not self.busy:
            self._idle()

    def node_opened(self, node: RunningNode) -> None:
        """Readers of a node that has opened may open, once all their writers have."""
        if node.is_source:
            self.waiting_sources.append(node)
        for stream in node.outputs:
            for reader in stream.readers:
                if isinstance(reader.reader, RunningNode) and not reader.back_edge:
                    self._waited(reader.reader)

    def side_packet_set(self, name: str, packet: Packet) -> None:
        """Give a side packet to the nodes that wait for it."""
        if name in self.side_packets:
            return
        self.side_packets[name] = packet
        for node in self.nodes:
            for entry in node.contract.side_inputs:
                if entry.name == name:
                    node.side_values[name] = packet
                    self._waited(node)

    def _waited(self, node: RunningNode) -> None:
        node.waits -= 1
        if not node.waits:
            self.push(node, None, OPEN_PRIORITY + node.number)

    def _idle(self) -> None:
        """Nothing is queued or running: start the next sources, make room in queues, or end the run."""
        while not self.busy and self.state == RUNNING and not self.paused:
            self.active_sources = [node for node in self.active_sources if node.status != CLOSED]
            if self.errors or (not (self.active_sources or self.waiting_sources) and self.inputs_closed):
                self._quit()
                break
            if self.stopping and (self.active_sources or self.waiting_sources):
                for node in [*self.active_sources, *self.waiting_sources]:
                    self.close_source(node)
                self.active_sources += self.waiting_sources
                self.waiting_sources = []
            elif not self.active_sources and self.waiting_sources:
                if not self._next_layer():
                    break
            elif not self._make_room():
                break
        if not self.busy:
            self.changed.notify_all()

    def _next_layer(self) -> bool:
        layer = min(node.layer for node in self.waiting_sources)
        unopened = [node for node in self.nodes if node.is_source and node.status not in (OPENED, CLOSED)]
        lower = next((node for node in unopened if node.layer < layer), None)
        if lower is not None:
            if self.inputs_closed:
                self.fail(None, None, GraphRuntimeError(
                    f'deadlock: sources of layer {layer} wait for "{lower.name}" of layer {lower.layer}, which has not '
                    "opened and nothing can open it", node=lower.name))  # fmt: skip
            return self.inputs_closed
        self.active_sources = [node for node in self.waiting_sources if node.layer == layer]
        self.waiting_sources = [node for node in self.waiting_sources if node.layer != layer]
        for node in self.active_sources:
            node.schedule_source()
        return True

    def _make_room(self) -> bool:
        """Everything waits for full queues: grow them, or report it; returns whether that changed anything."""
        if not self.active_sources and not self.throttle.held_back():
            return False
        full = self.throttle.full_streams()
        for stream in full:
            reader = getattr(stream.reader, "name", "?")
            if self.report_deadlock:
                self.fail(None, None, GraphRuntimeError(
                    f'deadlock: the queue of stream "{stream.name}" at node "{reader}" is full with '
                    f"{len(stream.queue)} packets, and every node waits; raise max_queue_size, or let it grow "
                    "without report_deadlock", node=reader))  # fmt: skip
                continue
            self.throttle.grown[stream] = None
            stream.set_limit(len(stream.queue) + 1)
        return bool(full)

    def _quit(self) -> None:
        self.state = TERMINATED
        for executor in self.executors.values():
            executor.wake.notify_all()
        self.changed.notify_all()

    def close_inputs(self) -> None:
        """All graph inputs are closed: the run ends once everything is worked off."""
        with self.lock:
            self.inputs_closed = True
            if not self.busy:
                self._idle()

    def cancel(self) -> None:
        """End the run with `GraphCancelledError`; what runs is finished, nothing is started."""
        with self.lock:
            if self.state != RUNNING:
                return
            self.fail(None, None, GraphCancelledError("the run was cancelled"))
            self.set_paused(paused=False)
            if not self.busy:
                self._idle()
        if self.synchronous:
            self.run()

    def set_paused(self, *, paused: bool) -> None:
        """Start no task while paused; what runs is finished."""
        with self.lock:
            self.paused = paused
            if not paused:
                for executor in self.executors.values():
                    executor.wake.notify_all()
                if not self.busy:
                    self._idle()

    def wait(self, until: Callable[[], bool], timeout: float | None, what: str) -> None:
        """Block until `until`; raises `GraphRuntimeError` after `timeout` seconds, or where it cannot come true."""
        if self.synchronous:
            self.run(until)
            if not until():
                raise GraphRuntimeError(f"{what} would wait forever: the graph is synchronous and has nothing to do")
            return
        with self.lock:
            if not self.changed.wait_for(until, timeout):
                raise GraphRuntimeError(f"{what}: not after {timeout} seconds")

    def join(self) -> None:
        """Wait for the threads of a run that has terminated."""
        for executor in self.executors.values():
            for worker in executor.workers:
                if worker is not threading.current_thread():
                    worker.join()
            executor.workers = []
