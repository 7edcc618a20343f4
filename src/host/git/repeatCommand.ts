import { shellQuote } from '../../common/shellQuote';

/** The command that starts a new run with the recorded recipe. */
export const repeatCommand = (runDir: string): string =>
  `lora train --repeat ${shellQuote(runDir)}`;
