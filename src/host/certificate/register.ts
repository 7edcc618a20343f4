import * as vscode from 'vscode';
import { VIEWS } from '../manifest/ids';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { CertificateEditor } from './certificateEditor';

/** Shows the certificates of merged models as a page. */
export function registerCertificate({ context, errors, jobs, log }: Services): vscode.Disposable {
  const { extensionUri } = context;
  const options = { ...panelHost({ extensionUri, errors, log }, 'adapter'), jobs };
  return vscode.window.registerCustomEditorProvider(
    VIEWS.certificate,
    {
      openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
      resolveCustomEditor: ({ uri }, panel) =>
        new CertificateEditor(uri.fsPath, panel, options).show(),
    },
    { supportsMultipleEditorsPerDocument: true, webviewOptions: { enableFindWidget: true } },
  );
}
