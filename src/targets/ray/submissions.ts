import { LoraError } from '../../shared/errors';
import { MAX_JOBS, type JobHandle } from '../target';

const SUBMISSION = /^lora-(\d{8}-\d{6}-[0-9a-f]{4})(?:-(\d{1,4}))?$/;

/** The name of the first submission of a job, or of a later one. */
export const submissionName = (job: string, attempt: number): string =>
  attempt === 1 ? `lora-${job}` : `lora-${job}-${attempt}`;

/** Which submission of its job it is; 0 for a name of another form. */
export function attemptOf(submission: string): number {
  const found = SUBMISSION.exec(submission);
  return found === null ? 0 : Number(found[2] ?? 1);
}

/** The submission of a handle, which may come from a file. @throws LoraError('target') */
export function submissionOf({ values: { submission } }: JobHandle): string {
  if (typeof submission === 'string' && SUBMISSION.test(submission)) return submission;
  throw new LoraError('target', 'The job is none of a Ray cluster.');
}

/** The last submission of each job, the newest jobs first. */
export function lastSubmissions(names: Iterable<string>): readonly JobHandle[] {
  const latest = new Map<string, string>();
  for (const submission of names) {
    const [, job] = SUBMISSION.exec(submission) ?? [];
    if (job === undefined) continue;
    if (attemptOf(submission) > attemptOf(latest.get(job) ?? '')) latest.set(job, submission);
  }
  return [...latest]
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .slice(0, MAX_JOBS)
    .map(([job, submission]) => ({ job, values: { submission } }));
}
