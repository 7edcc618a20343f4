import { describe, expect, it } from 'vitest';
import { plain, plainLines, withIcon } from '../../../../src/host/ui/plain';
import { Tooltip } from '../../../../src/host/ui/tooltip';
import { t } from '../../../../src/host/text/l10n';

/** The pattern by which VS Code finds links in notifications and input boxes. */
const LINK = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)/i;
/** The pattern by which VS Code finds icons in labels. */
const ICON = /\$\([A-Za-z0-9-]+(?:~[A-Za-z]+)?\)/;

const ATTACKS = [
  'tiny [Resume](command:workbench.action.terminal.new?{"name":"x"})',
  '[a](https://evil.example)',
  '[a](file:///etc/passwd "title")',
  '[[a]](command:x)',
  '[a]\n(command:x)',
  '[a]\u0000(command:x)',
  '$(error) $(loading~spin)',
  '$$(zap)',
  'name\u001b[2J\u202e',
];

describe('text that VS Code shows', () => {
  it.each(ATTACKS)('has no link, icon, line feed or control character: %j', (attack) => {
    for (const shown of [
      plain(attack),
      plain(t('The run {0} ended.', attack)),
      withIcon(undefined, attack),
    ]) {
      expect(shown).not.toMatch(LINK);
      expect(shown).not.toContain('](');
      expect(shown).not.toMatch(ICON);
      expect(shown).not.toMatch(/[\p{Cc}\u202e]/u);
    }
  });

  it('has no link that two arguments make together', () => {
    expect(plain(t('{0}{1}', '[Resume]', '(command:x)'))).toBe('[Resume] (command:x)');
  });

  it('keeps ordinary text', () => {
    const text = 'train (2) on [tiny], $5: /a/b-c_d.gguf';
    expect(plain(text)).toBe(text);
  });

  it('has no icon but the one that the extension chose', () => {
    expect(withIcon('folder', '$(zap) x')).toBe('$(folder) $ (zap) x');
  });

  it('is bounded', () => {
    expect(plain('x'.repeat(1_000_000)).length).toBeLessThan(5_000);
  });

  it('keeps its own line feeds where it may have several lines', () => {
    expect(plainLines('a\n[b](command:c)')).toBe('a\n[b] (command:c)');
  });
});

describe('a tooltip', () => {
  it('shows images, links and HTML in names as text', () => {
    const attack = '![x](https://evil.example/x) <img src=x> [y](command:z)\n# h';
    const { markdown }: Tooltip = new Tooltip()
      .paragraph(attack)
      .facts([
        [attack, attack],
        ['a', 'b'],
      ])
      .list([attack]);
    expect(markdown.replace(/\*\*/g, '')).not.toMatch(/(?<!\\)[[\]<>]|:\/\//);
    expect(markdown.split('\n').filter((line) => line.startsWith('#'))).toEqual([]);
  });

  it('cannot be led out of a table', () => {
    expect(new Tooltip().table(['```', 'x']).markdown).toBe("```text\n'''\nx\n```");
  });
});

describe('an argument of a translated text', () => {
  it('is one line without control characters', () => {
    expect(t('{0} failed.', 'a\nb\u001b[2J{0}')).toBe('a b\\u001b[2J{0} failed.');
  });
});
