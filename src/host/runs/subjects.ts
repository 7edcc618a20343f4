import type { CommandSubject } from '../commands/commandTable';
import { isUnattended } from '../targets/reattach';
import { canResume, isActive, type RunSummary } from './run';

/** What commands are about, of a run: its folder, adapter or recipe; null when it does not fit. */
const SUBJECTS: Readonly<Record<CommandSubject, (run: RunSummary) => string | null>> = {
  run: ({ dir }) => dir,
  running: ({ dir, state }) => (state === 'running' ? dir : null),
  unattended: (run) => (isUnattended(run) ? run.dir : null),
  active: (run) => (isActive(run) ? run.dir : null),
  resumable: (run) => (canResume(run) ? run.dir : null),
  recipe: ({ dir, recipePath }) => (recipePath === null ? null : dir),
  'recipe file': ({ recipePath }) => recipePath,
  model: ({ dir, model }) => (model === null ? null : dir),
  'ended with adapter': ({ dir, adapter }) => (adapter === null ? null : dir),
  adapter: ({ adapter }) => adapter,
};

/** The argument of a command that is invoked without one while a run's dashboard is active. */
export function subjectOf(
  subject: CommandSubject | undefined,
  run: RunSummary | undefined,
): string | undefined {
  return subject && run ? (SUBJECTS[subject](run) ?? undefined) : undefined;
}
