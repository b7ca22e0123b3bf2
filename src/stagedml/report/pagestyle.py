"""The look of HTML reports: plain, readable on a phone and on paper."""

PAGE_STYLE = """\
:root { color-scheme: light; }
html { font-size: 16px; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 5rem; max-width: 54rem;
  font: 1rem/1.6 -apple-system, "Segoe UI", "Liberation Sans", Helvetica, Arial, sans-serif;
  color: #1f2328; background: #fff; overflow-wrap: break-word;
}
h1, h2, h3, h4 { line-height: 1.25; margin: 2em 0 0.6em; }
h1 { font-size: 1.9rem; margin-top: 0.5em; }
h2 { font-size: 1.4rem; padding-bottom: 0.25em; border-bottom: 1px solid #d1d9e0; }
h3 { font-size: 1.15rem; }
a { color: #0969da; text-decoration: none; }
a:hover { text-decoration: underline; }
img { display: block; max-width: 100%; height: auto; margin: 1.2rem auto; }
figure { margin: 1.2rem 0; }
figcaption { text-align: center; color: #59636e; font-size: 0.9rem; }
blockquote { margin: 1rem 0; padding: 0 1rem; color: #59636e; border-left: 0.25rem solid #d1d9e0; }
li > p { margin: 0.3rem 0; }
hr { border: 0; border-top: 1px solid #d1d9e0; margin: 2rem 0; }

.table-scroll { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.8rem; border: 1px solid #d1d9e0; white-space: nowrap; }
th { background: #f6f8fa; text-align: left; }
tbody tr:nth-child(even) { background: #fbfcfd; }

code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
code { font-size: 0.88em; background: #eff1f3; padding: 0.15em 0.35em; border-radius: 4px; }
pre { overflow-x: auto; padding: 0.8rem 1rem; background: #f6f8fa; border-radius: 6px; line-height: 1.45; }
pre code { background: none; padding: 0; font-size: 0.84rem; }
div.sourceCode { margin: 1rem 0; overflow-x: auto; background: #f6f8fa; border-radius: 6px; }
div.sourceCode pre { background: none; margin: 0; overflow: visible; width: max-content; }
pre.numberSource { padding-left: 3.2rem; }
pre.stderr { background: #fff8f0; color: #7d4e00; }

@media print {
  body { max-width: none; padding: 0; }
  pre, div.sourceCode, img, table { break-inside: avoid; }
  pre code { white-space: pre-wrap; }
}
"""
