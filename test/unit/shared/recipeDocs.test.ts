import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

// docs/datasets.md names the columns that a recipe can map
const WITHOUT_ROWS = ['columns.'];

it('docs/recipe.md contains every key of the schema with its description', () => {
  const docs = readFileSync('docs/recipe.md', 'utf8');
  const check = ({ properties = {} }: Schema, prefix = ''): number =>
    Object.entries(properties)
      .filter(([key]) => !key.startsWith('$') && !WITHOUT_ROWS.includes(prefix))
      .reduce((count, [key, value]) => {
        expect(docs).toContain(`\`${prefix}${key}\``);
        expect(docs).toContain(value.description);
        return count + 1 + check(value, `${prefix}${key}.`);
      }, 0);
  expect(
    check(JSON.parse(readFileSync('media/lora.schema.json', 'utf8')) as Schema),
  ).toBeGreaterThan(30);
});
