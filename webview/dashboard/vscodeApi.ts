import type { PageMessage, PageState } from '../../src/shared/webview';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<PageMessage, PageState>();
