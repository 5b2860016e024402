"""The look of the HTML reports: one style sheet, light and dark, readable from phone to desktop width."""

from __future__ import annotations

STYLE = """
:root { --bg:#f6f7f9; --card:#fff; --text:#1a1f27; --soft:#5c6675; --line:#e2e6ec; --accent:#2684ff;
  --sparse:#ff7a00; --muted:#b9c2cf; --good:#0f8a54; --fair:#a86500; --poor:#c62f2f; --goodbg:#e3f5ec;
  --fairbg:#fdf1da; --poorbg:#fde6e6 }
@media (prefers-color-scheme: dark) {
  :root { --bg:#0f1319; --card:#181e27; --text:#e8ecf2; --soft:#98a3b3; --line:#2a323e; --accent:#5aa2ff;
    --sparse:#ff9640; --muted:#4a5566; --good:#4fd598; --fair:#f0b54a; --poor:#ff7d7d; --goodbg:#12352a;
    --fairbg:#3a2d11; --poorbg:#421c1e }
}
* { box-sizing:border-box }
html { -webkit-text-size-adjust:100% }
body { margin:0; background:var(--bg); color:var(--text);
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif }
main { max-width:1060px; margin:0 auto; padding:32px 20px 64px }
h1 { font-size:1.9rem; line-height:1.2; margin:.1rem 0 .6rem; overflow-wrap:anywhere }
h2 { font-size:1.15rem; margin:0 0 .25rem }
p { margin:.25rem 0 .75rem }
.soft { color:var(--soft) }
.small { font-size:.875rem }
.eyebrow { color:var(--soft); font-size:.875rem; letter-spacing:.02em }
.verdict { font-size:1.15rem; max-width:46em }
.pill { display:inline-block; border-radius:999px; padding:.1em .7em; font-size:.8rem; font-weight:600;
  margin-right:.5em; vertical-align:.12em; white-space:nowrap }
.pill.equal,.pill.good { color:var(--good); background:var(--goodbg) }
.pill.fair,.pill.unverified { color:var(--fair); background:var(--fairbg) }
.pill.poor { color:var(--poor); background:var(--poorbg) }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:12px; margin:20px 0 }
.tile,section { background:var(--card); border:1px solid var(--line); border-radius:12px }
.tile { padding:14px 16px }
.tile b { display:block; font-size:1.6rem; line-height:1.25; font-variant-numeric:tabular-nums }
section { padding:20px; margin:16px 0; min-width:0 }
.bars { display:grid; gap:10px; margin-top:12px }
.bar { display:grid; grid-template-columns:minmax(7em,14em) 1fr minmax(7.5em,auto); gap:12px; align-items:center }
.bar-name { overflow-wrap:anywhere; font-size:.92rem }
.bar-text { font-variant-numeric:tabular-nums; font-size:.92rem }
.bar-track { background:var(--bg); border-radius:5px; height:18px; overflow:hidden }
.bar-fill { display:block; height:100%; border-radius:5px; background:var(--accent) }
.bar-fill.muted { background:var(--muted) }
.bar-fill.sparse { background:var(--sparse) }
figure { margin:0 }
.columns { display:grid; grid-template-columns:auto 1fr; gap:0 8px; margin:14px 0 4px }
.columns svg { width:100%; height:170px; display:block }
.axis { display:flex; flex-direction:column; justify-content:space-between; height:184px; margin:-7px 0;
  text-align:right; font-size:.72rem; line-height:14px; color:var(--soft); font-variant-numeric:tabular-nums }
.columns figcaption { grid-column:2; margin-top:4px }
figcaption { font-size:.85rem; color:var(--soft) }
svg rect.accent { fill:var(--accent) }
svg rect.muted { fill:var(--muted) }
svg rect.sparse { fill:var(--sparse) }
svg rect:hover { opacity:.75 }
svg line { vector-effect:non-scaling-stroke; stroke-width:1 }
svg .grid { stroke:var(--line) }
svg .mark { stroke:var(--soft); stroke-dasharray:5 4 }
.scroll { overflow-x:auto; margin:8px -20px -6px; padding:0 20px 6px }
table { border-collapse:collapse; width:100%; font-size:.88rem; font-variant-numeric:tabular-nums }
th,td { text-align:left; padding:6px 14px 6px 0; border-bottom:1px solid var(--line); vertical-align:top }
th { color:var(--soft); font-weight:600; white-space:nowrap }
td.n,th.n { text-align:right; white-space:nowrap }
tr:last-child td { border-bottom:0 }
td.name { overflow-wrap:anywhere; min-width:11em }
.yes { color:var(--good); white-space:nowrap }
.no { color:var(--soft); white-space:nowrap }
.pictures { display:grid; grid-template-columns:repeat(4,1fr); gap:6px 10px; margin-top:14px }
.pictures.three { grid-template-columns:repeat(3,1fr) }
.pictures img { width:100%; display:block; border-radius:8px }
.pictures .head { font-size:.85rem; font-weight:600; color:var(--soft) }
.pictures .caption { grid-column:1/-1; font-size:.85rem; color:var(--soft); margin-bottom:10px }
.legend { font-size:.85rem; color:var(--soft) }
.key { display:inline-block; width:.8em; height:.8em; border-radius:3px; margin:0 .3em 0 .8em; vertical-align:-.05em }
.key.a { background:#2684ff }
.key.b { background:#ff7a00 }
.guess { display:grid; grid-template-columns:minmax(90px,190px) 1fr 1fr; gap:16px; margin-top:16px;
  align-items:start }
.guess img { width:100%; border-radius:8px }
.guess table { font-size:.85rem }
.guess td { padding-right:8px }
details summary { cursor:pointer; color:var(--accent); margin-top:10px }
code,pre { font:.86rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace }
pre { background:var(--bg); border-radius:8px; padding:12px 14px; overflow-x:auto; white-space:pre-wrap;
  overflow-wrap:anywhere }
ul { margin:.5rem 0; padding-left:1.2em }
li { margin:.15rem 0; overflow-wrap:anywhere }
@media (max-width:600px) {
  main { padding:20px 12px 40px }
  section { padding:16px 14px }
  .scroll { margin:8px -14px -6px; padding:0 14px 6px }
  h1 { font-size:1.5rem }
  .verdict { font-size:1.02rem }
  .bar { grid-template-columns:1fr auto; gap:2px 10px }
  .bar-track { grid-column:1/-1; grid-row:2 }
  .pictures { grid-template-columns:repeat(2,1fr) }
  .pictures .head { display:none }
  .pictures figcaption { display:block }
  .guess { grid-template-columns:1fr 1fr }
  .guess img { grid-column:1/-1; max-width:220px }
  .tile b { font-size:1.35rem }
}
@media (min-width:601px) {
  .pictures figcaption { display:none }
}
@media print {
  body { background:#fff }
  section,.tile { break-inside:avoid }
}
"""
