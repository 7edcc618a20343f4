/** A message without what differs between problems of the same kind: quotations and numbers. */
export const kindOfMessage = (message: string): string =>
  message.replace(/"(?:[^"\\]|\\.)*"/g, '"…"').replace(/\d+/g, 'N');

/** The number of problems; one that stands for several rows counts for each. */
export const countProblems = (problems: readonly { readonly rows?: number }[]): number =>
  problems.reduce((sum, { rows = 1 }) => sum + rows, 0);

/** What is listed as lines: a text, and for how many rows it stands. */
export interface Listed {
  readonly text: string;
  /** For the same kind of problem the same. */
  readonly message: string;
  readonly rows?: number;
}

/** Lines shown before the others are only counted. */
export const PROBLEMS_SHOWN = 20;

/** The first problems, one a line, then how many more there are of each kind (of the commonest). */
export function listProblems(problems: readonly Listed[]): string[] {
  const shown = problems.slice(0, PROBLEMS_SHOWN).map(({ text }) => `  ${text}`);
  const hidden = problems.slice(PROBLEMS_SHOWN);
  if (hidden.length === 0) return shown;
  const kinds = new Map<string, { readonly message: string; count: number }>();
  for (const { message, rows = 1 } of hidden) {
    const kind = kindOfMessage(message);
    const known = kinds.get(kind);
    if (known) known.count += rows;
    else kinds.set(kind, { message, count: rows });
  }
  const byCount = [...kinds.values()].sort((a, b) => b.count - a.count);
  const others = byCount.slice(PROBLEMS_SHOWN).reduce((sum, { count }) => sum + count, 0);
  return [
    ...shown,
    `  … and ${countProblems(hidden)} more:`,
    ...byCount.slice(0, PROBLEMS_SHOWN).map(({ message, count }) => `    ${count} x ${message}`),
    ...(others > 0 ? [`    ${others} of other kinds`] : []),
  ];
}
