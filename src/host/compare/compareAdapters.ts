import * as vscode from 'vscode';
import { asComparison, type ComparisonData } from '../../shared/pages/compare/protocol';
import { LoraError } from '../../shared/errors';
import { CONTEXT_KEYS } from '../manifest/ids';
import { chooseAdapter, selectedAdapters } from '../adapters/chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { adapterLabel, adapterLabels, runOfAdapter } from '../adapters/adapterNames';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import type { PanelHost } from '../webview/panelHost';
import { ComparePanels, type Pair } from './comparePanels';
import { documentPath } from './documentPath';

interface Compared {
  readonly data: ComparisonData;
  readonly texts: { readonly a: string; readonly b: string };
}

const SCHEME = 'lora-adapter';

/**
 * Compares adapters on a page with maps, spectra and numbers. From there, their settings and a line
 * for each layer open in VS Code's diff editor.
 */
export class AdapterComparison implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private selected: string | undefined;
  private readonly panels: ComparePanels;
  private readonly registered = vscode.Disposable.from(
    vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
    vscode.workspace.onDidCloseTextDocument((document) => {
      if (document.uri.scheme === SCHEME) this.texts.delete(document.uri.toString());
    }),
  );

  constructor(
    private readonly jobs: Jobs,
    private readonly store: RunStore,
    host: PanelHost,
  ) {
    this.panels = new ComparePanels({
      ...host,
      namesOf: (pair) => namesOf(store, pair),
      runsOf: (pair) => [
        ...new Set(pair.flatMap((place) => runOfAdapter(store, place)?.dir ?? [])),
      ],
      compare: async (pair) => (await this.run(pair))?.data,
      openDiff: async (pair) => {
        const compared = await this.run(pair);
        if (compared) await this.openDiff(pair, compared);
      },
    });
  }

  /**
   * Compares the two adapters of an argument, or the first selected adapter with each of the
   * others, or two that the user picks.
   *
   * @throws LoraError as `Jobs.run` does.
   */
  async compare(argument: unknown, selection: readonly unknown[]): Promise<void> {
    const [first, ...others] = selectedAdapters(selection);
    const chosen =
      first !== undefined && others.length > 0
        ? others.map((other): Pair => [first, other])
        : [isPair(argument) ? argument : await this.choose(argument)];
    for (const pair of chosen) if (pair) await this.show(pair);
  }

  /** Selects the left side of a comparison, as the Explorer does for files. */
  async select(argument: unknown): Promise<void> {
    this.selected = await chooseAdapter(this.store, argument, t('Select an adapter to compare'));
    await vscode.commands.executeCommand(
      'setContext',
      CONTEXT_KEYS.hasSelectedAdapter,
      this.selected !== undefined,
    );
  }

  /**
   * Compares an adapter with the selected one, which the user picks if there is none.
   *
   * @throws LoraError as `Jobs.run` does.
   */
  async compareWithSelected(argument: unknown): Promise<void> {
    const a =
      this.selected ??
      (await chooseAdapter(this.store, undefined, t('Select an adapter to compare')));
    const b =
      a === undefined
        ? undefined
        : await chooseAdapter(
            this.store,
            argument,
            t('Select an adapter to compare {0} with', adapterLabel(this.store, a)),
            [a],
          );
    if (a !== undefined && b !== undefined) await this.show([a, b]);
  }

  private async show(pair: Pair): Promise<void> {
    const compared = await this.run(pair);
    if (!compared) return;
    this.panels.show(pair, compared.data);
  }

  /** For VS Code: the text of one side of the diff. */
  provideTextDocumentContent(uri: vscode.Uri): string {
    return (
      this.texts.get(uri.toString()) ?? t('Compare the adapters again to see their differences.')
    );
  }

  dispose(): void {
    this.registered.dispose();
    this.panels.dispose();
  }

  private async choose(argument: unknown): Promise<Pair | undefined> {
    const a = await chooseAdapter(this.store, argument, t('Select an adapter to compare'));
    const b =
      a === undefined
        ? undefined
        : await chooseAdapter(
            this.store,
            undefined,
            t('Select an adapter to compare {0} with', adapterLabel(this.store, a)),
            [a],
          );
    return a === undefined || b === undefined ? undefined : [a, b];
  }

  private async run(pair: Pair): Promise<Compared | undefined> {
    const result = await this.jobs.run<{ readonly texts: Compared['texts'] }>(
      t('Comparing {0} and {1}', ...namesOf(this.store, pair)),
      ['compare', ...pair],
      false,
    );
    if (!result) return undefined;
    const data = asComparison(result);
    if (!data) throw new LoraError('engine', t('The engine returned an unexpected result.'));
    return { data, texts: result.texts };
  }

  private async openDiff(pair: Pair, { data, texts }: Compared): Promise<void> {
    const [left, right] = [this.document(pair[0], texts.a), this.document(pair[1], texts.b)];
    await vscode.commands.executeCommand(
      'vscode.diff',
      left,
      right,
      titleOf(data, namesOf(this.store, pair)),
      { preview: false, viewColumn: vscode.ViewColumn.One },
    );
  }

  private document(place: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: documentPath(place) });
    this.texts.set(uri.toString(), text);
    return uri;
  }
}

const isPair = (argument: unknown): argument is Pair =>
  Array.isArray(argument) &&
  argument.length === 2 &&
  argument.every((place) => typeof place === 'string');

function namesOf(store: RunStore, pair: Pair): readonly [string, string] {
  const [a, b] = adapterLabels(store, pair);
  return [a!, b!];
}

function titleOf({ equal, total }: ComparisonData, names: readonly [string, string]): string {
  if (equal) return t('{0} and {1} are equivalent', ...names);
  return t(
    '{0} ↔ {1} (cosine {2})',
    ...names,
    total.cosine === null ? '–' : total.cosine.toFixed(3),
  );
}
