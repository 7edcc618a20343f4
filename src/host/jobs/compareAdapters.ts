import path from 'node:path';
import * as vscode from 'vscode';
import { t } from '../l10n';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './adapterChoice';
import type { Jobs } from './jobs';
import { nameOf } from './tellAdapter';

interface Compared {
  readonly a: string;
  readonly b: string;
  readonly equal: boolean;
  readonly total: { readonly cosine: number | null; readonly norm_of_difference: number; readonly norm_a: number; readonly norm_b: number };
  readonly texts: { readonly a: string; readonly b: string };
}

const SCHEME = 'lora-adapter';

/** Two adapters in the editor's own diff: their settings, then a line a layer. */
export class AdapterDiffs implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly registered = vscode.Disposable.from(
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
    vscode.workspace.onDidCloseTextDocument((document) => { if (document.uri.scheme === SCHEME) this.texts.delete(document.uri.toString()); }),
  );

  constructor(private readonly jobs: Jobs, private readonly store: RunStore) {}

  /** Asks which two, and shows where they differ. Errors: LoraError. */
  async compare(argument: unknown): Promise<void> {
    const pair = isPair(argument) ? argument : await this.choose(argument);
    if (!pair) return;
    const names = namesOf(this.store, pair);
    const compared = await this.jobs.run<Compared>(t('Comparing {0} and {1}', ...names), ['compare', ...pair], false);
    if (!compared) return;
    const [left, right] = [this.document(pair[0], compared.texts.a), this.document(pair[1], compared.texts.b)];
    await vscode.commands.executeCommand('vscode.diff', left, right, titleOf(compared, names), { preview: false });
  }

  private async choose(argument: unknown): Promise<readonly [string, string] | undefined> {
    const a = await chooseAdapter(this.store, argument, t('Which adapter to compare?'));
    const b = a === undefined ? undefined : await chooseAdapter(this.store, undefined, t('Compare {0} with which other?', labelOf(this.store, a)), [a]);
    return a === undefined || b === undefined ? undefined : [a, b];
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? t('The adapters must be compared again.');
  }

  dispose(): void {
    this.registered.dispose();
  }

  private document(folder: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `${folder.split(path.sep).join('/')}.txt` });
    this.texts.set(uri.toString(), text);
    return uri;
  }
}

const isPair = (argument: unknown): argument is readonly [string, string] => Array.isArray(argument) && argument.length === 2 && argument.every((own) => typeof own === 'string');

/** What the two are called; where both runs have one name, their folders tell them apart. */
function namesOf(store: RunStore, pair: readonly [string, string]): readonly [string, string] {
  const [a, b] = [labelOf(store, pair[0]), labelOf(store, pair[1])];
  return a === b ? [nameOf(pair[0]), nameOf(pair[1])] : [a, b];
}

/** A run's adapter is called by its run. */
const labelOf = (store: RunStore, place: string) => store.runs.find((run) => run.adapter === place)?.name ?? nameOf(place);

function titleOf({ equal, total }: Compared, names: readonly [string, string]): string {
  if (equal) return t('{0} and {1} do the same', ...names);
  const cosine = total.cosine === null ? '–' : total.cosine.toFixed(3);
  return t('{0} ↔ {1} (cosine {2})', ...names, cosine);
}
