// What `npm test` says of its failures at its end. A failure is { file, name, message }, with
// `notRun` if it is a test that neither passed nor failed; `file` is undefined for what is no test.
// Only Node's own modules.
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** Limits of the list, so that the end of a log stays readable. */
const MOST_FAILURES = 20;
const MOST_LINES = 10;
const MOST_COLUMNS = 300;
/** A line of a stack that is not in the code of this repository. */
const FOREIGN_FRAME = /^\s+at .*(node:internal|node_modules|<anonymous>)/;

const notRun = (state) => ({ message: `The test did not run (${state}).`, notRun: true });

/** The failures in a report of vitest (`--reporter=json`) on tests below the folder `root`. */
export function vitestFailures({ testResults }, root) {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(name, root);
    const tests = assertionResults
      .filter((test) => test.status !== 'passed')
      .map(({ fullName, status: state, failureMessages }) => ({
        file,
        name: fullName,
        ...(failureMessages?.length > 0 ? { message: failureMessages.join('\n') } : notRun(state)),
      }));
    const isAlone = status === 'failed' && tests.length === 0;
    return message || isAlone ? [{ file, name: 'the file', message }, ...tests] : tests;
  });
}

/**
 * Follows the events of node:test. Returns what takes an event and gives the failure that it
 * reports, if any. A suite fails only because its tests do, so it is none.
 */
export function nodeTestFailures(root) {
  const names = []; // of the suites and tests around, by nesting
  const errors = new Map(); // what files wrote to stderr, the first characters of each
  return ({ type, data }) => {
    if (type === 'test:start') {
      names.length = data.nesting;
      names.push(data.name);
    }
    if (type === 'test:stderr') {
      const before = errors.get(data.file) ?? '';
      if (before.length < 2 ** 14) errors.set(data.file, before + data.message);
    }
    if (type !== 'test:fail' && type !== 'test:pass') return undefined;
    const state = [data.skip !== undefined && 'skipped', data.todo !== undefined && 'todo'];
    const failure = failureOf(data, { state: state.find(Boolean), type, errors });
    if (failure === undefined) return undefined;
    const own = data.name === data.file ? [] : [...names.slice(0, data.nesting), data.name];
    return { file: relative(data.file, root), name: own.join(' ') || 'the file', ...failure };
  };
}

function failureOf({ name, file, details }, { state, type, errors }) {
  if (state !== undefined) return notRun(state);
  if (type === 'test:pass') return undefined;
  const { error } = details;
  if (error?.failureType === 'subtestsFailed') return undefined;
  const cause = error?.cause ?? error;
  const message = String(cause?.message ?? cause);
  // its suite failed, which has the reason
  if (error?.failureType === 'cancelledByParent') return { message, notRun: true };
  return { message: name === file ? `${message}\n${errors.get(file) ?? ''}` : message };
}

/** The failure of a program or stage that printed no list of its own. */
export const outputFailure = (name, output) => ({ file: undefined, name, message: output });

/** The lines that tell of all failures, tests that did not run last; none if there are none. */
export function failureLines(failures) {
  if (failures.length === 0) return [];
  const left = failures.length - MOST_FAILURES;
  return [
    '',
    'Failures:',
    ...[...failures.filter((one) => !one.notRun), ...failures.filter((one) => one.notRun)]
      .slice(0, MOST_FAILURES)
      .flatMap(({ stage, file, name, message }) => {
        const place = [stage, file, name].filter((part) => part !== undefined && part !== '');
        return ['', place.join(' > '), ...messageLines(message).map((line) => `    ${line}`)];
      }),
    ...(left > 0 ? ['', `… and ${left} more`] : []),
  ];
}

function messageLines(message) {
  const lines = stripVTControlCharacters(message)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && !FOREIGN_FRAME.test(line));
  if (lines.length === 0) return ['It printed nothing.'];
  const first = lines.slice(0, MOST_LINES);
  if (first.length < lines.length) first[MOST_LINES - 1] = '…';
  return first.map((line) => (line.length > MOST_COLUMNS ? `${line.slice(0, 299)}…` : line));
}

/** A path below `root` as in the documentation, with slashes. */
function relative(file, root) {
  if (file === undefined) return undefined;
  return path.relative(root, file).replaceAll(path.sep, '/');
}
