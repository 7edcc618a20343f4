import path from 'node:path';
import * as vscode from 'vscode';
import { isHubName } from '../../formats/hub/hubName';
import { LoraError } from '../../shared/errors';
import { adapterName } from '../adapters/adapterNames';
import { formatBytes } from '../text/format';
import { fileName } from '../text/fileName';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';
import { choose, copyToClipboard, notify, showDone } from '../ui/messages';
import { withHubToken, type HubServices } from './hubToken';

/** A result of `lora push --json`. */
interface PushPlan {
  readonly repository: string;
  readonly url: string;
  readonly private: boolean;
  readonly base: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly left_out: readonly string[];
}

/** The place of an error that a name of the base would mend. */
const BASE_KEY = 'base_model_name_or_path';

/**
 * Uploads an adapter to the Hub: asks for the repository, and whether to upload what is shown.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function pushAdapterCommand(
  { jobs, secrets }: HubServices,
  adapter: string,
): Promise<void> {
  const repository = await askRepository(adapter);
  if (repository === undefined) return;
  const push = (title: string, args: readonly string[]) =>
    withHubToken(secrets, (env) =>
      jobs.run<PushPlan>(
        title,
        ['push', '--adapter', adapter, '--to', repository, ...args],
        false,
        env,
      ),
    );
  const checking = t('Checking {0}', repository);
  const own = await withBaseName((args) => push(checking, args));
  const access = own && (await confirmPush(own.plan));
  if (!own || access === undefined) return;
  const args = [...own.args, '--yes', ...(access === 'public' ? ['--public'] : [])];
  const pushed = await push(t('Uploading {0}', adapterName(adapter)), args);
  if (pushed) await showPushed(pushed);
}

function askRepository(adapter: string): Thenable<string | undefined> {
  return askText({
    title: t('Upload Adapter'),
    value: `/${fileName(path.basename(adapterName(adapter)))}`,
    valueSelection: [0, 0],
    prompt: t('The repository, as owner/name. It is created.'),
    validate: (text) => (isHubName(text) ? undefined : t('Enter owner/name, as on the Hub.')),
  });
}

interface Planned {
  readonly plan: PushPlan;
  /** What was asked. */
  readonly args: readonly string[];
}

/** Asks for the name of the base if the adapter names none that is on the Hub. */
async function withBaseName(
  plan: (args: readonly string[]) => Promise<PushPlan | undefined>,
): Promise<Planned | undefined> {
  const planned = async (args: readonly string[]) => {
    const found = await plan(args);
    return found && { plan: found, args };
  };
  try {
    return await planned([]);
  } catch (error) {
    if (!(error instanceof LoraError) || error.place?.key !== BASE_KEY) throw error;
    const base = await askText({
      title: t('Upload Adapter: Base Model'),
      prompt: t('The base model, as owner/model: others do not have your folder.'),
      validate: (text) => (isHubName(text) ? undefined : t('Enter owner/name, as on the Hub.')),
    });
    return base === undefined ? undefined : planned(['--base-name', base]);
  }
}

/** Undefined: cancelled. */
async function confirmPush(plan: PushPlan): Promise<'private' | 'public' | undefined> {
  const { repository, base, files, left_out } = plan;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const detail = [
    ...files.map((file) => `${file.path} (${formatBytes(file.size)})`),
    t('Base model: {0}', base),
    ...(left_out.length === 0 ? [] : [t('Not uploaded: {0}', left_out.join(', '))]),
  ];
  return choose(
    t('Upload {0} to {1} on the Hugging Face Hub?', formatBytes(bytes), repository),
    detail.join('\n'),
    { private: t('Upload Privately'), public: t('Upload for Anyone') },
  );
}

async function showPushed({ url, private: isPrivate }: PushPlan): Promise<void> {
  const [open, copy] = [t('Open in Browser'), t('Copy Address')];
  const message = isPrivate
    ? t('Uploaded: {0}. Only you and people you invite can see it.', url)
    : t('Uploaded: {0}. Anyone can see it.', url);
  const chosen = await notify('information', message, [open, copy]);
  if (chosen === open) await vscode.env.openExternal(vscode.Uri.parse(url, true));
  if (chosen !== copy) return;
  await copyToClipboard(url);
  showDone(t('Copied: {0}', url));
}
