// Stands for Vitest in an emulator, where no other process can be started: the same tests run with
// Node's own test runner, in one process.
import * as chai from 'chai';
import * as runner from 'node:test';
import { JestAsymmetricMatchers, JestChaiExpect, JestExtend } from '@vitest/expect';

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

type Row = readonly unknown[];
type Body = (...values: unknown[]) => unknown;
type Register = (name: string, body: () => unknown) => unknown;

/** `%s` in a name is the first value. */
const each =
  (register: Register) =>
  (rows: readonly unknown[]) =>
  (name: string, body: Body): void => {
    for (const row of rows) {
      const values: Row = Array.isArray(row) ? (row as Row) : [row];
      register(name.replace('%s', String(values[0])), () => body(...values));
    }
  };

const group: Register = (name, body) => {
  void runner.describe(name, () => {
    body();
  });
};
const single: Register = (name, body) => {
  void runner.it(name, async () => {
    await body();
  });
};
const none: Register = () => undefined;

/** The groups of a table that are chosen, by the first value; an emulator takes long. */
const chosen = (rows: readonly unknown[]): readonly unknown[] => {
  const only = process.env['LORA_ONLY_GROUPS']?.split(' ');
  return rows.filter((row) => !only || only.includes(String(Array.isArray(row) ? row[0] : row)));
};

export const describe = Object.assign(group, {
  each: (rows: readonly unknown[]) => each(group)(chosen(rows)),
  skipIf: (isSkipped: boolean) => (isSkipped ? none : group),
});
export const it = Object.assign(single, { each: each(single) });
export const beforeAll = (body: () => Promise<void>): void => {
  runner.before(body);
};
export const { expect } = chai;
