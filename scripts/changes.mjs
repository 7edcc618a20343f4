// What `npm test -- --changed` runs. Vitest follows the imports of TypeScript files. The command
// line, the pages and the workbench are tested as bundles: for them the folders of the changed
// files decide (`sources` in stages.mjs). A changed test file runs by itself.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { run } from './dependencies.mjs';
import { filesOf, STAGES, stageOf } from './stages.mjs';

/** The files that differ from the commit in the working tree, new ones included. */
export function changedSince(commit = 'HEAD') {
  const git = (...args) => run('git', args, { capture: true }).stdout.split('\n').filter(Boolean);
  return [
    ...git('diff', '--name-only', '--diff-filter=d', commit),
    ...git('ls-files', '--others', '--exclude-standard'),
  ];
}

/** The stages that the changed files affect, each with the files or arguments that restrict it. */
export function changesFor(changed, commit) {
  if (changed.length === 0) return {};
  const entries = Object.keys(STAGES).map((name) => [name, narrow(name, changed, commit)]);
  return Object.fromEntries(entries.filter(([, narrowed]) => narrowed !== null));
}

/** The part of a stage that the files affect: {} for all of it, null for nothing. */
function narrow(name, changed, commit) {
  const { run: runner, sources } = STAGES[name];
  if (name === 'lint') return { commands: lintOf(changed) };
  if (runner === 'check') return changed.some((file) => /\.m?ts$/.test(file)) ? {} : null;
  const tests = changed.filter((file) => stageOf(file) === name);
  const touched = sources ? changed.filter((file) => sources.test(file)) : [];
  if (touched.length > 0) return name === 'pages' ? { files: pagesOf(touched, tests) } : {};
  if (runner !== 'vitest') return tests.length > 0 ? { files: tests } : null;
  return { args: [`--changed=${commit ?? 'HEAD'}`, '--passWithNoTests'] };
}

function lintOf(changed) {
  const code = changed.filter((file) => /\.(ts|mjs|mts)$/.test(file));
  return [
    ['prettier', '--check', '--ignore-unknown', ...changed],
    ...(code.length > 0 ? [['eslint', '--no-warn-ignored', ...code]] : []),
    ['depcruise', 'src', 'webview', '--no-progress'],
  ];
}

/** The test of a page whose own folder changed; all of them for code that pages share. */
function pagesOf(sources, tests) {
  const own = sources.map((file) => {
    const [, page] = /^(?:webview|src\/shared\/pages)\/(\w+)\//.exec(file) ?? [];
    return `${STAGES.pages.folder}/${page}Page.test.mjs`;
  });
  if (!own.every((file) => existsSync(path.join(import.meta.dirname, '..', file))))
    return filesOf('pages');
  return [...new Set([...own, ...tests])];
}
