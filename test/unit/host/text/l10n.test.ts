import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { PAGES } from '../../../../src/shared/pages/pages';

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
const german = read('l10n/bundle.l10n.de.json');
const placeholders = (text: string) =>
  [...new Set([...text.matchAll(/\{(\d+)[|}]/g)].map(([, index]) => index))].sort();
/** A number before a noun in the plural, which is wrong for 1. */
const PLURAL =
  /(?<!of |its |to |last |these |first |all )\{\d+\} (?:[a-z]+ )?(?:layers|rows|tokens(?!\/s)|steps|examples|modules|tensors|runs|errors|images|directions|threads|epochs|problems)\b/;

/** First arguments of all calls of t in the host; what is no literal can't be looked up. */
function messagesOfHost(): { readonly literals: Set<string>; readonly others: string[] } {
  const [literals, others] = [new Set<string>(), [] as string[]];
  for (const name of readdirSync('src/host', { recursive: true }) as string[]) {
    if (!name.endsWith('.ts')) continue;
    const source = ts.createSourceFile(
      name,
      readFileSync(path.join('src/host', name), 'utf8'),
      ts.ScriptTarget.ES2022,
      true,
    );
    const visit = (node: ts.Node): void => {
      if (
        ts.isCallExpression(node) &&
        ts.isIdentifier(node.expression) &&
        node.expression.text === 't' &&
        node.arguments[0]
      ) {
        const [first] = node.arguments;
        if (ts.isStringLiteralLike(first)) literals.add(first.text);
        else others.push(`${name}: ${node.getText()}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return { literals, others };
}

describe('the texts for users', () => {
  const { literals, others } = messagesOfHost();
  const all = new Set([
    ...literals,
    ...Object.values(PAGES).flatMap(({ strings }) => Object.values(strings)),
  ]);

  it('are literals, so that they can be translated', () => {
    expect(others).toEqual([]);
    expect(all.size).toBeGreaterThan(500);
  });

  it('are all translated to German, without unused translations, with the same placeholders', () => {
    expect([...all].filter((text) => german[text] === undefined)).toEqual([]);
    expect(Object.keys(german).filter((text) => !all.has(text))).toEqual([]);
    expect(
      Object.entries(german).filter(
        ([text, own]) => placeholders(text).join() !== placeholders(own).join(),
      ),
    ).toEqual([]);
  });

  it('have the singular of what they count', () => {
    expect([...all].filter((text) => PLURAL.test(text))).toEqual([]);
  });

  it('of package.json are all translated to German', () => {
    const [english, translated] = [read('package.nls.json'), read('package.nls.de.json')];
    expect(Object.keys(translated).sort()).toEqual(Object.keys(english).sort());
    const used = [...readFileSync('package.json', 'utf8').matchAll(/"%([\w.]+)%"/g)].map(
      ([, key]) => key!,
    );
    expect([...new Set(used)].sort()).toEqual(Object.keys(english).sort());
  });
});
