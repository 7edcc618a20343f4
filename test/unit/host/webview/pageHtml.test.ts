import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { pageHtml } from '../../../../src/host/webview/pageHtml';
import { DASHBOARD_STRINGS } from '../../../../src/shared/pages/dashboard/strings';
import { PAGES } from '../../../../src/shared/pages/pages';
import { fill } from '../../../../src/shared/values';

const html = pageHtml({
  cspSource: 'https://webview.test',
  nonce: 'n0nce',
  script: 'https://webview.test/dashboard.js',
  style: 'https://webview.test/dashboard.css',
  language: 'en',
  strings: DASHBOARD_STRINGS,
  facts: { 'run-dir': '/runs/"<b>&' },
});

test('the page may only run its own script and use styles from its own folder', () => {
  expect(/Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1]).toBe(
    "default-src 'none'; script-src 'nonce-n0nce'; style-src https://webview.test 'nonce-n0nce'; font-src https://webview.test",
  );
  expect(html).not.toMatch(/unsafe| style="| on\w+="/);
});

test('texts and paths cannot break out of their attributes', () => {
  expect(html).toContain('content="/runs/&quot;&lt;b&gt;&amp;"');
  expect(html).not.toContain('<b>');
});

test('the page shows that it is loading until data has arrived', () => {
  expect(html).toContain(`<p class="loading">${DASHBOARD_STRINGS.loading}</p>`);
});

test('values replace the placeholders of a text', () => {
  expect(fill('{1} of {0}, {2}', ['b', 3])).toBe('3 of b, {2}');
});

const sourceOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(path.join(folder, name), 'utf8'))
    .join('\n');

test.each(Object.entries(PAGES))('every text of the %s page is used', (page, { strings }) => {
  const source =
    sourceOf(path.resolve('webview', page)) + sourceOf(path.resolve('webview', 'shared'));
  const isUsed = (key: string) =>
    source.includes(`'${key}'`) ||
    source.includes(`strings.${key}`) ||
    source.includes(`\`${key.replace(/\.[^.]+$/, '')}.\${`);
  expect(Object.keys(strings).filter((key) => key !== 'loading' && !isUsed(key))).toEqual([]);
});
