import * as vscode from 'vscode';
import { peftFolder } from '../../formats/peft/fileNames';
import { COMMANDS } from '../commands/commandTable';
import { VIEWS } from '../manifest/ids';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { TensorInspector } from './tensorInspector';

/** Opens .safetensors and .gguf files, and the weights of adapters, in the Tensor Inspector. */
export function registerInspector({
  commands,
  context,
  errors,
  inspections,
  log,
}: Services): vscode.Disposable {
  const host = {
    ...panelHost({ extensionUri: context.extensionUri, errors, log }, 'adapter'),
    inspections,
  };
  const editor = vscode.window.registerCustomEditorProvider(
    VIEWS.inspector,
    {
      openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
      resolveCustomEditor: ({ uri }, panel) => new TensorInspector(uri.fsPath, panel, host).show(),
    },
    { supportsMultipleEditorsPerDocument: true, webviewOptions: { enableFindWidget: true } },
  );
  return vscode.Disposable.from(
    editor,
    commands.add(COMMANDS.inspectTensors, async (argument) => {
      if (!(argument instanceof vscode.Uri)) return;
      const file = WEIGHTS.test(argument.fsPath)
        ? argument
        : vscode.Uri.joinPath(vscode.Uri.file(peftFolder(argument.fsPath)), ADAPTER_WEIGHTS);
      await vscode.commands.executeCommand('vscode.openWith', file, VIEWS.inspector);
    }),
  );
}

const WEIGHTS = /\.(?:gguf|safetensors)$/i;
const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
