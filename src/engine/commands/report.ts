/** What inspect says of a path: for programs, and in words. */
export interface Report {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly words: string;
}
