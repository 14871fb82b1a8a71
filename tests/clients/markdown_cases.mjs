// What the page's Markdown must become: [source, HTML], and sources made to be slow or deep.

export const CASES = [
  ["plain", "<p>plain</p>"],
  ["a\nb\n\nc", "<p>a<br>b</p><p>c</p>"],
  [
    "**b** *i* ***bi*** ~~s~~ `c`",
    "<p><strong>b</strong> <em>i</em> <strong><em>bi</em></strong> <del>s</del> <code>c</code></p>",
  ],
  ["snake_case_name and _it_", "<p>snake_case_name and <em>it</em></p>"],
  ["2 * 3 * 4 and **open", "<p>2 * 3 * 4 and **open</p>"],
  ["*a **b* c**", "<p><em>a **b</em> c**</p>"],
  ["\\*no\\* `a\\` b", "<p>*no* <code>a\\</code> b</p>"],
  ["``a ` b``", "<p><code>a ` b</code></p>"],
  ["# One\n## Two ##", '<h3 class="level-1">One</h3><h4 class="level-2">Two</h4>'],
  ["#none", "<p>#none</p>"],
  ["---", "<hr>"],
  ["> a\nb\n\nc", "<blockquote><p>a<br>b</p></blockquote><p>c</p>"],
  [
    "- a\n- b\n  - c\n\n1. x\n2. y",
    "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>x</li><li>y</li></ol>",
  ],
  ["3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'],
  ["1. a\n\n   b\n2. c", "<ol><li>a<p>b</p></li><li>c</li></ol>"],
  ["In 1984. no\n1984. list", "<p>In 1984. no<br>1984. list</p>"],
  [
    "<b>x</b> &amp; <script>y</script>",
    "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp; &lt;script&gt;y&lt;/script&gt;</p>",
  ],
  ["[t](javascript:alert(1)) [u](data:text/html,x) [v](//x.y)", "<p>t u v</p>"],
  [
    "[w](https://a.b/c_(d)) x",
    '<p><a href="https://a.b/c_(d)" rel="noopener noreferrer nofollow" target="_blank">w</a> x</p>',
  ],
  [
    "see https://a.b/c_d_e.",
    '<p>see <a href="https://a.b/c_d_e" rel="noopener noreferrer nofollow" target="_blank">https://a.b/c_d_e</a>.</p>',
  ],
  [
    "![p](https://a.b/x.png)",
    '<p>!<a href="https://a.b/x.png" rel="noopener noreferrer nofollow" target="_blank">p</a></p>',
  ],
  [
    "[[a](https://a.b)](https://c.d)",
    '<p><a href="https://c.d/" rel="noopener noreferrer nofollow" target="_blank">a</a></p>',
  ],
  ["「**海**」は*広い*。", "<p>「<strong>海</strong>」は<em>広い</em>。</p>"],
];

// Tables and code have boxes of their own: compared by selector and text.
export const SHAPES = [
  [
    "| a | b |\n|---|:-:|\n| 1 \\| 2 | **x** |\n| 3 |",
    { "table th": ["a", "b"], "table td": ["1 | 2", "x", "3"], "td.align-center strong": ["x"] },
  ],
  ["a | b\nno table", { p: ["a | bno table"] }],
  [
    "```js\nif (a < b) {\n  x();\n}\n```\nafter",
    { "pre code": ["if (a < b) {\n  x();\n}"], ".code-name": ["js"], p: ["after"] },
  ],
  ["~~~\n```\nstill\n~~~", { "pre code": ["```\nstill"] }],
  ["```\nnot closed\n**x**", { "pre code": ["not closed\n**x**"], strong: [] }],
  ["- a\n  ```\n  code\n  ```", { "li pre code": ["code"] }],
];

// Each is a piece that is repeated; doubling the text must not quadruple the time.
export const HOSTILE = [
  "*a ",
  "**a ",
  "_",
  "[",
  "[](",
  "](",
  "[a](b",
  "`",
  "` `` ",
  "> ",
  "- ",
  "1. ",
  "|",
  "| - ",
  "\n|-",
  "~~",
  "\\",
  "http://",
  "https://a.b/%%%",
  "*a_b~~c[d",
  "#",
  "\n- ",
  "\n> ",
  "\n\n1. x",
  "```\n",
  "<",
  "&",
  "h",
  "**[",
  "a\n",
  " ",
  "\t",
  "(",
  "***a*",
  "🐦*",
];
