/** The page's style: two colour schemes, narrow and wide, paper, which may be without colour. Everything in the page, nothing fetched. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --text: #1b1f27; --soft: #5b6472; --line: #dde1e7; --mark: #2f6fb3;
  --good: #1a7a48; --bad: #b3261e; --look: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --card: #1c2027; --text: #e6e9ee; --soft: #a0a9b6; --line: #333a45; --mark: #6ca8e8;
    --good: #5cc48a; --bad: #ff8a80; --look: #e5b45a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 48px; }
header { margin-bottom: 20px; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 12px; }
h3 { font-size: .95rem; margin: 14px 0 6px; }
p { margin: 0 0 10px; }
.soft { color: var(--soft); }
.status { display: inline-block; padding: 1px 10px; border: 1px solid currentColor; border-radius: 99px; font-size: .85rem; font-weight: 600; vertical-align: middle; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .look { color: var(--look); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 0 0 16px; }
section.failed { border-color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; padding: 0; overflow: hidden; background: var(--line); }
.tiles div { background: var(--card); padding: 12px 16px; }
.tiles dt { color: var(--soft); font-size: .82rem; } .tiles dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.tiles dd small { font-size: .78rem; }
.pairs { display: grid; grid-template-columns: minmax(120px, max-content) 1fr; gap: 4px 20px; margin: 0; }
.pairs dt { color: var(--soft); } .pairs dd { margin: 0; overflow-wrap: anywhere; }
code, .id { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .88em; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 0 -20px; padding: 0 20px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: 6px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 7em; max-width: 26em; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.path { overflow-wrap: anywhere; min-width: 14em; } .key { white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px; }
small { display: block; color: var(--soft); font-size: .85em; font-weight: 400; }
.count { white-space: nowrap; font-variant-numeric: tabular-nums; } .gate th { min-width: 9em; } .gate td:nth-child(2) { white-space: nowrap; } .gate td:nth-child(3) { min-width: 9em; }
.wide + p { margin: 10px 0 0; } .good, .bad { font-weight: 500; }
figure { margin: 0; min-width: 0; max-width: 560px; } .wide + figure { margin-top: 18px; } figcaption { font-weight: 500; font-size: .92rem; margin-bottom: 4px; }
figure svg { width: 100%; height: auto; display: block; overflow: visible; }
ul { margin: 0; padding-left: 20px; }
footer { color: var(--soft); font-size: .85rem; }
@media (max-width: 560px) {
  main { padding: 18px 12px 32px; }
  section:not(.tiles) { padding: 14px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .wide { margin: 0 -14px; padding: 0 14px; }
  .pairs { grid-template-columns: 1fr; gap: 0; } .pairs dd { margin-bottom: 8px; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --soft: #444; --line: #999; --mark: #2f6fb3; --good: #1a7a48; --bad: #b3261e; --look: #8a5a00; }
  @page { margin: 14mm 14mm 18mm; @bottom-right { content: counter(page) " of " counter(pages); font: 8pt system-ui, "DejaVu Sans", sans-serif; color: #444; } }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { border-width: 1px 0 0; border-radius: 0; padding: 10px 0; break-inside: avoid; }
  .tiles { display: grid; gap: 0; border-width: 1px 0 0 1px; padding: 0; background: none; }
  .tiles div { border: solid var(--line); border-width: 0 1px 1px 0; }
  h2, h3, figcaption, h2 + p, h2 + p + p, caption, thead, tbody tr:first-child { break-after: avoid; }
  .status { border-width: 2px; }
  section.long { break-inside: auto; }
  tr, figure, .good, .bad { break-inside: avoid; }
  .wide { overflow: visible; margin: 0; padding: 0; }
  table { font-size: 8pt; } th, td { padding-right: 8px; } footer { break-before: avoid; font-size: 8pt; } footer p { margin: 0; } .path, tbody th { min-width: 0; }
  .pictures { grid-template-columns: 1fr 1fr; }
}
`
