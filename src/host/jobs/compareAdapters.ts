import path from 'node:path';
import * as vscode from 'vscode';
import { t } from '../l10n';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './adapterChoice';
import type { Jobs } from './jobs';

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
    const a = await chooseAdapter(this.store, argument, t('Which adapter to compare?'));
    const b = a === undefined ? undefined : await chooseAdapter(this.store, undefined, t('Compare {0} with which other?', nameOf(a)), [a]);
    if (a === undefined || b === undefined) return;
    const compared = await this.jobs.run<Compared>(t('Comparing {0} and {1}', nameOf(a), nameOf(b)), ['compare', a, b], false);
    if (!compared) return;
    const [left, right] = [this.document(a, compared.texts.a), this.document(b, compared.texts.b)];
    await vscode.commands.executeCommand('vscode.diff', left, right, titleOf(compared), { preview: false });
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

/** A run's adapter is called by its run. */
function nameOf(folder: string): string {
  const name = path.basename(folder);
  return name === 'adapter' ? path.basename(path.dirname(folder)) : name;
}

function titleOf({ a, b, equal, total }: Compared): string {
  if (equal) return t('{0} and {1} do the same', nameOf(a), nameOf(b));
  const cosine = total.cosine === null ? '–' : total.cosine.toFixed(3);
  return t('{0} ↔ {1} (cosine {2})', nameOf(a), nameOf(b), cosine);
}
