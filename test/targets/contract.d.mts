import type { Target } from '../../src/targets/target';

/** What each check is given. */
export interface ContractContext {
  readonly target: Target;
  /** For files here. */
  readonly folder: string;
  readonly newRunId: () => string;
}

/** What each target does: names of checks, and the checks. */
export const contract: Readonly<Record<string, (context: ContractContext) => Promise<void>>>;
