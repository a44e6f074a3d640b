"""How report.html looks: on a desk, on a telephone, on paper. No font or file from elsewhere."""

from covid.evaluation.page import FAINT, INK
from covid.evaluation.plots import CORRECT, EMPTY, RULE, TRACK, WRONG

# Contrast with white, by WCAG 2.2's formula: INK 14.7, FAINT 4.9, CORRECT 5.3, WRONG 5.0; its
# criterion 1.4.3 wants 4.5.
CSS = f"""
:root {{ --ink: {INK}; --faint: {FAINT}; --rule: {RULE}; --track: {TRACK}; --empty: {EMPTY};
  --correct: {CORRECT}; --wrong: {WRONG}; color-scheme: light; }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{ margin: 0; color: var(--ink); background: white; line-height: 1.5; overflow-wrap: anywhere;
  font-family: system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }}
header, main, footer {{ max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }}
header {{ padding-top: 1.5rem; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 0.2rem 0 0.6rem; }}
h2 {{ font-size: 1.3rem; margin: 0 0 0.8rem; padding-top: 1.2rem;
  border-top: 2px solid var(--rule); }}
h3 {{ font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }}
p, ul {{ margin: 0.5rem 0; }}
p, li, .absent {{ max-width: 46rem; }}
ul {{ padding-left: 1.2rem; }}
li {{ margin: 0.25rem 0; }}
a {{ color: var(--correct); }}
small, .faint, figcaption, .absent {{ color: var(--faint); }}
small {{ font-size: 0.85em; }}
section {{ margin-top: 2rem; }}
code, pre {{ font-family: ui-monospace, "Liberation Mono", Menlo, Consolas, monospace;
  font-size: 0.85rem; }}
pre {{ background: var(--empty); padding: 0.8rem 1rem; overflow-x: auto; border-radius: 6px;
  overflow-wrap: normal; }}
nav ul {{ list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; padding: 0;
  margin: 0.8rem 0 0; font-size: 0.95rem; }}
nav li {{ margin: 0; }}
.kind {{ color: var(--faint); text-transform: uppercase; letter-spacing: 0.06em;
  font-size: 0.8rem; margin: 0; }}
.headlines {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  gap: 0.8rem; margin: 1.1rem 0; }}
.headlines > div {{ border: 1px solid var(--rule); border-top: 4px solid var(--correct);
  border-radius: 6px; padding: 0.7rem 0.9rem; }}
.headlines dt {{ font-size: 0.9rem; color: var(--faint); }}
.headlines dd {{ margin: 0; }}
.headlines .value {{ font-size: 2rem; font-weight: 650; line-height: 1.2;
  font-variant-numeric: tabular-nums; }}
.callout {{ border-left: 4px solid var(--wrong); background: var(--empty);
  padding: 0.5rem 1rem; margin: 1rem 0; border-radius: 0 6px 6px 0; }}
.callout p, .callout ul {{ margin: 0.2rem 0; }}
.absent {{ border-left: 4px solid var(--rule); padding: 0.1rem 0 0.1rem 0.8rem; }}
.scroll {{ overflow-x: auto; margin: 0.9rem 0 1.2rem; }}
.scroll:focus-visible {{ outline: 2px solid var(--correct); outline-offset: 2px; }}
table {{ border-collapse: collapse; font-size: 0.92rem; overflow-wrap: normal; }}
caption {{ text-align: left; font-weight: 600; padding-bottom: 0.35rem; }}
th, td {{ padding: 0.32rem 0.9rem 0.32rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); }}
thead th {{ color: var(--faint); font-weight: 600; vertical-align: bottom; }}
caption span {{ display: inline-block; position: sticky; left: 0;
  max-width: min(58rem, calc(100vw - 2rem)); }}
tbody th {{ font-weight: 500; max-width: 20rem; overflow-wrap: break-word; }}
tbody th code {{ display: inline-block; min-width: 11rem; overflow-wrap: anywhere; }}
td {{ overflow-wrap: break-word; max-width: 22rem; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
td.number {{ white-space: nowrap; }}
td.number small {{ white-space: normal; }}
.interval {{ color: var(--faint); white-space: nowrap; }}
.hash {{ overflow-wrap: anywhere; }}
.flow {{ list-style: none; padding: 0; margin: 1rem 0; display: grid; gap: 1.6rem; }}
.flow > li {{ max-width: none; margin: 0; position: relative; }}
.flow > li + li::before {{ content: "↓" / ""; position: absolute; top: -1.6rem; left: 0;
  right: 0; text-align: center; color: var(--faint); }}
.flow .boxes {{ display: flex; flex-wrap: wrap; gap: 0.7rem; justify-content: center; }}
.flow .box {{ border: 1px solid var(--rule); border-radius: 6px; padding: 0.4rem 0.9rem;
  text-align: center; flex: 0 1 auto; min-width: 9.5rem; }}
.flow .box strong, .flow .box span {{ display: block; }}
.flow .evaluated {{ border: 2px solid var(--correct); }}
.flow .out {{ border-style: dashed; }}
figure {{ margin: 1.1rem 0; }}
figure .scroll {{ margin: 0; }}
figure img {{ display: block; height: auto; max-width: 100%; }}
figcaption {{ font-size: 0.9rem; margin-top: 0.3rem; max-width: 46rem; }}
.checklist {{ list-style: none; padding: 0; column-width: 25rem; column-gap: 2rem; }}
.numbers {{ column-width: 19rem; }}
.checklist li {{ display: grid; grid-template-columns: 4.3rem 8.6rem 1fr; gap: 0.5rem;
  break-inside: avoid; border-bottom: 1px solid var(--rule); padding: 0.3rem 0; margin: 0;
  font-size: 0.92rem; }}
.status {{ font-weight: 600; }}
.here {{ color: var(--correct); }}
.yours {{ color: var(--wrong); }}
.none {{ color: var(--faint); }}
summary {{ cursor: pointer; font-weight: 600; }}
footer {{ margin-top: 2.5rem; padding-bottom: 2rem; color: var(--faint); font-size: 0.9rem; }}
@media (max-width: 40rem) {{
  td.words, thead th.number {{ min-width: 6.5rem; }}
  thead th:first-child, tbody th {{ position: sticky; left: 0; background: white;
    max-width: 9.5rem; }}
  tbody th code {{ min-width: 8rem; }}
  header, main, footer {{ padding-left: 1rem; padding-right: 1rem; }}
  h1 {{ font-size: 1.4rem; }}
  .headlines {{ grid-template-columns: 1fr; gap: 0.5rem; }}
  .headlines .value {{ font-size: 1.6rem; }}
  .flow .box {{ flex: 1 1 8rem; }}
  figure img {{ max-width: none; }}
  .checklist li {{ grid-template-columns: 4.3rem 1fr; }}
  .checklist .where {{ grid-column: 2; }}
}}
@media print {{
  @page {{ size: A4; margin: 16mm 15mm; }}
  body {{ font-size: 10pt; }}
  header, main, footer {{ max-width: none; padding: 0; }}
  nav {{ display: none; }}
  h2, h3, caption {{ break-after: avoid; }}
  tr, figure, .callout, .headlines, .flow {{ break-inside: avoid; }}
  details:not([open])::details-content {{ content-visibility: visible; block-size: auto; }}
  .checklist {{ column-width: 80mm; }}
  .checklist li {{ grid-template-columns: 15mm 26mm 1fr; font-size: 8.5pt; }}
  thead {{ display: table-header-group; }}
  table {{ font-size: 8.5pt; }}
  .scroll {{ overflow: visible; }}
  figure img {{ max-width: 100%; max-height: 220mm; min-width: 0; }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8pt; }}
  a {{ color: inherit; }}
  .callout, .headlines > div, pre {{ print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }}
}}
"""
