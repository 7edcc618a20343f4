import type { PageMessage, PageState } from '../../src/shared/pages/dashboard/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<PageMessage, PageState>();
