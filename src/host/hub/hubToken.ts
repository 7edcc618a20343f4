import type * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { Jobs } from '../jobs/jobs';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';

const TOKEN = 'lora.hubToken';

/** What a download needs from the extension. */
export interface HubServices {
  readonly jobs: Jobs;
  /** Stores the access token, encrypted. */
  readonly secrets: vscode.SecretStorage;
}

/** The variables that give a job the stored access token, if there is one. */
export async function hubEnvironment(
  secrets: vscode.SecretStorage,
): Promise<Readonly<Record<string, string>>> {
  const token = await secrets.get(TOKEN);
  return token === undefined ? {} : { HF_TOKEN: token };
}

/**
 * Runs jobs with the stored access token. Where the Hub wants another one, it is asked for, and
 * they are run again.
 */
export async function withHubToken<T>(
  secrets: vscode.SecretStorage,
  run: (env: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  const attempt = async () => run(await hubEnvironment(secrets));
  try {
    return await attempt();
  } catch (error) {
    const isRefused = error instanceof LoraError && error.place?.key === 'HF_TOKEN';
    if (!isRefused || !(await askToken(secrets, error.message))) throw error;
    return attempt();
  }
}

/** Asks for an access token and stores it; an empty one deletes the stored one. True: stored. */
export async function askToken(secrets: vscode.SecretStorage, prompt: string): Promise<boolean> {
  const token = await askText({
    title: t('Hugging Face Token'),
    prompt,
    placeHolder: 'hf_…',
    password: true,
    validate: (text) =>
      text === '' || text.startsWith('hf_') ? undefined : t('Tokens start with hf_.'),
  });
  if (token === undefined) return false;
  if (token === '') await secrets.delete(TOKEN);
  else await secrets.store(TOKEN, token);
  return token !== '';
}
