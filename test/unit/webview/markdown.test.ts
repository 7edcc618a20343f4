import { expect, it } from 'vitest';
import { markdownHeading, markdownTable } from '../../../webview/shared/markdown';

const NAME = '![x](https://evil.example/x.png)|<img src=x>\n# [y](command:z)';

it('a name in an exported table is shown as text, in one cell', () => {
  const table = markdownTable(['Name', 'Loss'], [[NAME, '-0.5']]);
  expect(table.split('\n')).toHaveLength(4);
  const [, , row] = table.split('\n');
  expect(row!.match(/(?<!\\)\|/g)).toHaveLength(3);
  expect(row!.replace('<br>', '')).not.toMatch(/(?<!\\)[[\]<>]|:\/\//);
  expect(row).toContain('| -0.5 |');
});

it('a text of several lines stays in its cell', () => {
  expect(markdownTable(['a'], [['one\n two\n']])).toContain('| one<br>two<br> |');
});

it('a name in an exported heading is shown as text', () => {
  expect(markdownHeading(NAME)).toMatch(/^## [^\n]+\n\n$/);
  expect(markdownHeading(NAME)).not.toMatch(/(?<!\\)\[/);
});
