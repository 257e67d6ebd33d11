// The style and the script of report.html.
#pragma once

namespace duel {

inline constexpr const char* report_style = R"(
:root { color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --ink: #1c2126; --soft: #5b646d; --line: #e3e5e7; --grid: #eceeef; --zero: #b9bec3;
  --accent: #0072b2; --warn-ink: #7a4300; --warn: #fff4e3; --warn-line: #f0c98b;
  --s0: #0073b3; --s1: #d65e00; --s2: #009e73; --s3: #cc78a6; --s4: #e69e00; --s5: #57b5e8; --s6: #404040; --ref: #7a8188; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171a; --card: #1b1f23; --ink: #e6e9eb; --soft: #9aa4ad; --line: #2c3238; --grid: #272c31; --zero: #4d555d;
  --accent: #58b4e6; --warn-ink: #f4cf95; --warn: #2c2419; --warn-line: #5d4827;
  --s0: #3fa2dc; --s1: #ee8132; --s2: #2fbf94; --s3: #dc93bb; --s4: #edb236; --s5: #8acdf0; --s6: #c3c8cc; --ref: #8a929a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 44px 28px 64px; }
h1 { font-size: 2.1rem; line-height: 1.15; font-weight: 650; letter-spacing: -0.015em; margin: 0; overflow-wrap: anywhere; }
h1 span { color: var(--soft); font-weight: 400; }
h2 { font-size: 1.2rem; font-weight: 620; margin: 52px 0 16px; letter-spacing: -0.005em; }
h3 { font-size: 0.95rem; font-weight: 620; margin: 0; }
h3::first-letter, .lead::first-letter { text-transform: uppercase; }
p { margin: 0; }
.lead { color: var(--soft); margin-top: 8px; max-width: 68ch; }
.state { margin-top: 14px; font-size: 0.93rem; }
.state b { font-weight: 620; }
.state i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 8px; background: var(--s2); }
.state.training i { background: var(--accent); }
.state.stopped i { background: var(--s4); }
.state.failed i { background: var(--s1); }
.figures { display: grid; grid-template-columns: repeat(6, 1fr); margin: 30px 0 0; border: 1px solid var(--line);
  border-radius: 10px; background: var(--line); gap: 1px; overflow: hidden; }
.figures div { background: var(--card); padding: 15px 18px 13px; min-width: 0; }
.figures .wide { grid-column: span 2; }
.figures dt { color: var(--soft); font-size: 0.8rem; }
.figures dd { margin: 2px 0 0; font-size: 1.32rem; font-weight: 600; letter-spacing: -0.01em; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
.figures small { display: block; color: var(--soft); font-size: 0.8rem; font-weight: 400; letter-spacing: 0; white-space: normal; }
.figures .arrow { color: var(--soft); font-weight: 400; padding: 0 0.2em; }
.warning { border: 1px solid var(--warn-line); background: var(--warn); color: var(--warn-ink); border-radius: 10px;
  padding: 13px 18px; margin-top: 14px; }
.warning b { font-weight: 620; }
.warning b::first-letter, .warning span::first-letter { text-transform: uppercase; }
.warning span { display: inline-block; }
.warnings { margin-top: 24px; }
.good { color: var(--soft); font-size: 0.93rem; }
.samples { display: grid; grid-template-columns: 1fr 1fr; gap: 28px; align-items: start; }
figure { margin: 0; min-width: 0; }
figcaption { margin-bottom: 10px; display: flex; justify-content: space-between; gap: 12px; align-items: baseline; }
figcaption span { color: var(--soft); font-size: 0.88rem; font-variant-numeric: tabular-nums; text-align: right; }
.frame { background: #202020; border-radius: 8px; overflow: hidden; line-height: 0; padding: 2px; }
.frame img { width: 100%; height: auto; image-rendering: pixelated; }
.frame img[hidden] { display: none; }
.player { display: flex; align-items: center; gap: 14px; margin-top: 12px; }
.player button { flex: none; width: 84px; padding: 7px 0; border: 1px solid var(--line); border-radius: 7px; background: var(--card);
  color: var(--ink); font: inherit; font-size: 0.9rem; cursor: pointer; }
.player button:hover { border-color: var(--soft); }
.player input { flex: 1; min-width: 0; accent-color: var(--accent); height: 28px; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px 12px; }
.chart figcaption { display: block; }
.chart figcaption p { color: var(--soft); font-size: 0.86rem; line-height: 1.45; margin-top: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0 0 6px; padding: 0; list-style: none; font-size: 0.86rem; }
.legend li { display: flex; align-items: center; gap: 7px; overflow-wrap: anywhere; }
.legend svg { width: 22px; height: 8px; flex: none; }
.chart > svg { display: block; width: 100%; height: auto; font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans",
  "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--grid); } svg .zero { stroke: var(--zero); } svg .axis { stroke: var(--zero); }
svg text { fill: var(--soft); } svg path, svg line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
svg path { stroke-width: 1.8; } svg path.faint { stroke-width: 0.9; opacity: 0.3; } svg path.mark, svg circle { stroke: none; }
svg .s0 { stroke: var(--s0); } svg .s1 { stroke: var(--s1); } svg .s2 { stroke: var(--s2); } svg .s3 { stroke: var(--s3); }
svg .s4 { stroke: var(--s4); } svg .s5 { stroke: var(--s5); } svg .s6 { stroke: var(--s6); }
svg .ref { stroke: var(--ref); stroke-dasharray: 5 5; stroke-width: 1.5; }
svg circle.s0, svg .mark.s0 { fill: var(--s0); } svg circle.s1, svg .mark.s1 { fill: var(--s1); }
svg circle.s2, svg .mark.s2 { fill: var(--s2); } svg circle.s3, svg .mark.s3 { fill: var(--s3); }
svg circle.s4, svg .mark.s4 { fill: var(--s4); } svg circle.s5, svg .mark.s5 { fill: var(--s5); }
svg circle.s6, svg .mark.s6 { fill: var(--s6); }
svg .now { stroke: var(--ink); stroke-width: 1; opacity: 0.45; stroke-dasharray: 2 3; }
.narrow, .alone .broad { display: none !important; }
.alone { grid-column: 1 / -1; }
.tables { display: grid; grid-template-columns: 1fr 1fr; gap: 28px 36px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; margin-top: 8px; }
th, td { text-align: left; font-weight: 400; padding: 6px 0; border-top: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); padding-right: 18px; width: 42%; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
pre { margin: 8px 0 18px; padding: 12px 16px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto; font: 0.86rem/1.5 ui-monospace, "SF Mono", Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace; }
footer { color: var(--soft); font-size: 0.86rem; margin-top: 52px; border-top: 1px solid var(--line); padding-top: 16px; }
@media (max-width: 900px) { .charts { grid-template-columns: 1fr; } .full { display: none !important; }
  .alone .broad { display: block !important; } .figures { grid-template-columns: repeat(3, 1fr); } }
@media (max-width: 640px) { main { padding: 26px 16px 44px; } h1 { font-size: 1.6rem; } h2 { margin-top: 40px; }
  .samples, .tables { grid-template-columns: 1fr; } .figures { grid-template-columns: 1fr 1fr; } .figures div { padding: 12px 14px 10px; }
  .figures .wide { order: 9; } .figures dd { font-size: 1.15rem; }
  .chart { padding: 14px 12px 8px; } .narrow { display: block !important; } .broad, .alone .broad { display: none !important; } }
@media print { .player { display: none; } .chart, figure, table { break-inside: avoid; } }
)";

inline constexpr const char* report_script = R"(
(() => {
  const frames = [...document.querySelectorAll('#frames img')], slider = document.getElementById('step');
  if (!slider) return;
  const play = document.getElementById('play'), caption = document.getElementById('caption');
  const charts = [...document.querySelectorAll('.chart > svg')];
  let timer = 0, touched = false;
  const show = () => {
    const i = +slider.value, frame = frames[i], step = +frame.dataset.step;
    frames.forEach((f, k) => { f.hidden = k !== i; });
    caption.textContent = frame.dataset.caption;
    slider.setAttribute('aria-valuetext', frame.dataset.caption);
    for (const svg of charts) {
      const { left, right, low, high } = svg.dataset, now = svg.querySelector('.now');
      const x = +left + (step - low) / (high - low) * (right - left);
      now.setAttribute('x1', x); now.setAttribute('x2', x);
      now.setAttribute('visibility', touched && i < frames.length - 1 ? 'visible' : 'hidden');
    }
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
  play.addEventListener('click', () => {
    touched = true;
    if (timer) return stop();
    if (+slider.value === frames.length - 1) slider.value = 0;
    show();
    play.textContent = 'Pause';
    timer = setInterval(() => {
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === frames.length - 1) stop();
    }, Math.max(120, Math.min(700, 8000 / frames.length)));
  });
  slider.addEventListener('input', () => { touched = true; stop(); show(); });
  document.querySelector('.player').hidden = frames.length < 2;
  show();
})();
)";

}  // namespace duel
