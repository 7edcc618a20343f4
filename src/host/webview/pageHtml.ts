/** What a page is made of. */
export interface PageParts {
  /** Origin of the webview, for the style sheet and the font. */
  readonly cspSource: string;
  readonly nonce: string;
  readonly script: string;
  readonly style: string;
  readonly language: string;
  /** The page's texts; `loading` is shown until the first message. */
  readonly strings: Readonly<Record<string, string>> & { readonly loading: string };
  /** What the page needs before its first message, each in a meta element of that name. */
  readonly facts: Readonly<Record<string, string>>;
  /** Whether it may show images that are data: URLs; none are loaded from elsewhere. */
  readonly images?: boolean;
}

/** The page's HTML: it shows that it is loading, and can only run its script. */
export function pageHtml({
  cspSource,
  nonce,
  script,
  style,
  language,
  strings,
  facts,
  images = false,
}: PageParts): string {
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${cspSource} 'nonce-${nonce}'; font-src ${cspSource}${images ? '; img-src data:' : ''}`;
  return `<!DOCTYPE html>
<html lang="${escape(language)}">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="${policy}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta property="csp-nonce" content="${nonce}">
  <meta name="strings" content="${escape(JSON.stringify(strings))}">
${Object.entries(facts)
  .map(([name, content]) => `  <meta name="${escape(name)}" content="${escape(content)}">\n`)
  .join('')}  <link rel="stylesheet" href="${style}" nonce="${nonce}">
  <title>${escape(strings.loading)}</title>
</head>
<body>
  <main aria-busy="true"><p class="loading">${escape(strings.loading)}</p></main>
  <script type="module" nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}

function escape(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
