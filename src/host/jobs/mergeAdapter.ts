import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { t } from '../l10n';
import { openPlace } from '../openPlace';
import type { RunStore } from '../runs/runStore';
import { browse } from '../train/picker';
import { chooseAdapter } from './adapterChoice';
import type { Jobs } from './jobs';

interface Merged {
  readonly output: string;
  readonly warnings: readonly string[];
  readonly parity: { readonly largest_gap: number; readonly top1_agreement: number } | null;
}

/** W + s·BA as a model of its own: asks which adapter, on which base, and where to; shows the certificate. Errors: LoraError. */
export async function mergeAdapter(jobs: Jobs, store: RunStore, argument: unknown): Promise<void> {
  const adapter = await chooseAdapter(store, argument, t('Which adapter to merge into its base?'));
  const base = adapter === undefined ? undefined : await baseOf(adapter);
  if (adapter === undefined || base === undefined) return;
  const output = await askOutput(adapter);
  if (output === undefined) return;
  const merged = await jobs.run<Merged>(t('Merging {0}', path.basename(output)), ['merge', '--base', base, '--adapter', adapter, '--output', output], true);
  if (!merged) return;
  await openPlace({ file: path.join(output, 'merge.json') });
  await tell(merged);
}

/** The base that the adapter names, where it is on this disk; else one browsed to. */
async function baseOf(adapter: string): Promise<string | undefined> {
  const config = await readFile(path.join(adapter, 'adapter_config.json'), 'utf8').then((text) => JSON.parse(text) as { readonly base_model_name_or_path?: unknown }).catch(() => null);
  const named = config?.base_model_name_or_path;
  if (typeof named === 'string' && path.isAbsolute(named) && await stat(named).then(() => true, () => false)) return named;
  const file = { label: `$(file) ${t('Browse for a .gguf file…')}`, what: 'file' as const };
  const folder = { label: `$(folder) ${t('Browse for a Hugging Face model folder…')}`, what: 'folder' as const };
  const chosen = await vscode.window.showQuickPick([folder, file], { placeHolder: typeof named === 'string' ? t('Where is the base, {0}?', named) : t('Which base does the adapter belong to?') });
  return chosen && browse(chosen.what, t('Base Model'), chosen.what === 'file' ? { GGUF: ['gguf'] } : undefined);
}

/** Beside the adapter's run, or beside the adapter. */
async function askOutput(adapter: string): Promise<string | undefined> {
  const [root] = vscode.workspace.workspaceFolders ?? [];
  const folder = root?.uri.fsPath ?? path.dirname(adapter);
  const value = await freeName(folder, 'merged');
  return vscode.window.showInputBox({
    title: t('Merge Adapter: Output'), value, valueSelection: [folder.length + 1, value.length], ignoreFocusOut: true, prompt: t('A folder that is not there yet. Nothing is changed in place.'),
    validateInput: async (typed) => {
      if (!path.isAbsolute(typed)) return t('Give the whole path.');
      return await stat(typed).then(() => true, () => false) ? t('{0} is there already.', path.basename(typed)) : undefined;
    },
  });
}

async function freeName(folder: string, stem: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = path.join(folder, n === 1 ? stem : `${stem}-${n}`);
    if (!await stat(name).then(() => true, () => false)) return name;
  }
}

async function tell({ output, parity, warnings }: Merged): Promise<void> {
  const words = parity === null ? t('The merged model is in {0}.', output)
    : t('The merged model is in {0}. It puts the same word first as base and adapter at {1} of the positions.', output, new Intl.NumberFormat(vscode.env.language, { style: 'percent', maximumFractionDigits: 1 }).format(parity.top1_agreement));
  const reveal = t('Reveal in Explorer');
  const show = warnings.length > 0 ? vscode.window.showWarningMessage : vscode.window.showInformationMessage;
  const chosen = await show([words, ...warnings].join(' '), reveal);
  if (chosen === reveal) await vscode.commands.executeCommand(vscode.workspace.getWorkspaceFolder(vscode.Uri.file(output)) ? 'revealInExplorer' : 'revealFileInOS', vscode.Uri.file(output));
}
