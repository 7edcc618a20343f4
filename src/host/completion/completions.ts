import * as vscode from 'vscode';
import type { CodePlace, WriterFacts } from '../../inspect/questions';
import { LoraError } from '../../shared/errors';
import type { AskInspections } from '../inspection/inspections';
import type { ModelServer } from '../server/modelServer';
import { streamRequest } from '../server/requestStream';
import type { Writer } from '../server/writers';
import { completionOf, MOST_NEW_TOKENS, offered, promptLimits, stopsAt } from './completionText';
import { RequestGate } from './requestGate';

/** What happens to a completion. */
export type CompletionState =
  | { readonly kind: 'noModel' }
  | { readonly kind: 'waiting'; readonly model: string }
  | { readonly kind: 'answered'; readonly model: string; readonly firstToken: number }
  | { readonly kind: 'failed'; readonly message: string };

/** What completions need. */
export interface CompletionServices {
  readonly inspections: AskInspections;
  readonly server: Pick<ModelServer, 'use'>;
  /** The model that the user has chosen; undefined: none. */
  readonly model: () => Promise<Writer | undefined>;
  readonly onState: (state: CompletionState) => void;
}

/** Milliseconds without a key press after which a model is asked. */
const DELAY = 250;

/** Completions at the cursor, written by a model of this workspace. */
export class Completions implements vscode.InlineCompletionItemProvider {
  private readonly gate = new RequestGate();
  private readonly facts = new Map<string, Promise<WriterFacts | null>>();

  constructor(private readonly services: CompletionServices) {}

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    { triggerKind }: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    const controller = new AbortController();
    const watch = token.onCancellationRequested(() => controller.abort());
    const isAsked = triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    try {
      const place = placeOf(document, position);
      const text = await this.gate.run(controller.signal, isAsked ? 0 : DELAY, (signal) =>
        this.complete(place, signal),
      );
      const range = new vscode.Range(position, position);
      return text === null || text === '' ? [] : [new vscode.InlineCompletionItem(text, range)];
    } catch (error) {
      const { message } = LoraError.from(error, 'engine');
      this.services.onState({ kind: 'failed', message });
      return [];
    } finally {
      watch.dispose();
    }
  }

  /** Ends the request at work. */
  dispose(): void {
    this.gate.end();
  }

  private async complete(place: CodePlace, signal: AbortSignal): Promise<string> {
    const { model: chosen, onState, inspections, server } = this.services;
    const model = await chosen();
    const facts = model && (await this.factsOf(model.base));
    if (!model || !facts) {
      onState({ kind: 'noModel' });
      return '';
    }
    const limits = promptLimits(facts.positions, facts.fim);
    const asked = { file: model.base, place, limits };
    const { input_ids, fim } = await inspections.ask('codePrompt', asked);
    const stop = stopsAt(place.after.split('\n', 1)[0]!, fim);
    const body = { prompt: input_ids, max_tokens: MOST_NEW_TOKENS, temperature: 0, stop };
    onState({ kind: 'waiting', model: model.name });
    return server.use(model, signal, async (endpoint) => {
      const started = performance.now();
      let [text, isCut] = ['', false];
      const onEvent = (event: Readonly<Record<string, unknown>>) => {
        const part = completionOf(event);
        if (text === '' && part.text !== '') {
          const firstToken = (performance.now() - started) / 1000;
          onState({ kind: 'answered', model: model.name, firstToken });
        }
        text += part.text;
        isCut ||= part.isCut;
      };
      await streamRequest({ endpoint, path: '/completions', body, signal, onEvent });
      return offered(text, isCut);
    });
  }

  private factsOf(base: string): Promise<WriterFacts | null> {
    const asked = this.facts.get(base) ?? this.services.inspections.ask('writer', { file: base });
    this.facts.set(base, asked);
    asked.catch(() => this.facts.delete(base));
    return asked;
  }
}

/** The most characters on each side of the cursor: what models read has fewer. */
const MOST_CHARACTERS = 32_768;

function placeOf(document: vscode.TextDocument, position: vscode.Position): CodePlace {
  const offset = document.offsetAt(position);
  const at = (characters: number) => document.positionAt(Math.max(0, offset + characters));
  const between = (start: vscode.Position, end: vscode.Position) =>
    document.getText(new vscode.Range(start, end)).replaceAll('\r\n', '\n');
  return {
    path: vscode.workspace.asRelativePath(document.uri, false).replaceAll('\\', '/'),
    before: between(at(-MOST_CHARACTERS), position),
    after: between(position, at(MOST_CHARACTERS)),
  };
}
