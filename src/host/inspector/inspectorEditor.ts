import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { asInspectPageMessage, type InspectHostMessage } from '../../shared/pages/inspect/protocol';
import { VIEWS } from '../manifest/ids';
import { openPage, sender } from '../webview/page';
import type { TensorFile } from './tensorFile';

export interface InspectorOptions {
  readonly extensionUri: vscode.Uri;
  readonly log: (message: string) => void;
}

/**
 * Opens .safetensors and .gguf files as what they hold instead of as bytes. Reads, never writes.
 */
export function registerInspector(options: InspectorOptions): vscode.Disposable {
  return vscode.window.registerCustomEditorProvider(
    VIEWS.inspector,
    {
      openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
      resolveCustomEditor: ({ uri }, panel) => new Inspector(uri.fsPath, panel, options).show(),
    },
    { supportsMultipleEditorsPerDocument: true, webviewOptions: { enableFindWidget: true } },
  );
}

/**
 * One tab. The file stays open while the tab does, so that values are there when they are asked
 * for.
 */
class Inspector {
  private opened: Promise<TensorFile> | undefined;
  private readonly send: (message: InspectHostMessage) => void;

  constructor(
    private readonly file: string,
    private readonly panel: vscode.WebviewPanel,
    private readonly options: InspectorOptions,
  ) {
    this.send = sender(panel);
  }

  show(): void {
    const { webview } = this.panel;
    const listener = webview.onDidReceiveMessage((value: unknown) => void this.receive(value));
    this.panel.onDidDispose(() => {
      listener.dispose();
      this.close();
    });
    openPage(webview, {
      extensionUri: this.options.extensionUri,
      page: 'inspect',
      facts: {},
    });
  }

  private async receive(value: unknown): Promise<void> {
    const message = asInspectPageMessage(value);
    switch (message?.kind) {
      case 'ready':
        return this.read();
      case 'measure':
        return this.measure(message.tensor);
      default:
        this.options.log(
          `Inspector: ${message ? message.message : 'a message of the page was not understood'}`,
        );
    }
  }

  /** Anew: the file may be another one since. */
  private async read(): Promise<void> {
    this.close();
    const { openTensorFile } = await import('./tensorFile');
    this.opened = openTensorFile(this.file);
    await this.opened.then(
      ({ facts }) => this.send({ kind: 'file', name: path.basename(this.file), ...facts }),
      (error: unknown) =>
        this.send({ kind: 'fault', message: LoraError.from(error, 'base').describe() }),
    );
  }

  private async measure(tensor: string): Promise<void> {
    try {
      const { valuesOf } = await import('./statistics');
      const numbers = await (await this.opened)?.readF32(tensor);
      if (numbers) this.send({ kind: 'values', tensor, values: valuesOf(numbers) });
    } catch (error) {
      this.send({ kind: 'noValues', tensor, why: LoraError.from(error, 'base').message });
    }
  }

  private close(): void {
    void this.opened?.then(
      (file) => file.close(),
      () => undefined,
    );
    this.opened = undefined;
  }
}
