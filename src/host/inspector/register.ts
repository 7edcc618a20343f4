import * as vscode from 'vscode';
import { VIEWS } from '../manifest/ids';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { TensorInspector } from './tensorInspector';

/** Opens .safetensors and .gguf files in the Tensor Inspector, read-only. */
export function registerInspector({
  context,
  errors,
  inspections,
  log,
}: Services): vscode.Disposable {
  const host = {
    ...panelHost({ extensionUri: context.extensionUri, errors, log }, 'adapter'),
    inspections,
  };
  return vscode.window.registerCustomEditorProvider(
    VIEWS.inspector,
    {
      openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
      resolveCustomEditor: ({ uri }, panel) => new TensorInspector(uri.fsPath, panel, host).show(),
    },
    { supportsMultipleEditorsPerDocument: true, webviewOptions: { enableFindWidget: true } },
  );
}
