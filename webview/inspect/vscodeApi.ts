import type { InspectPageMessage } from '../../src/shared/pages/inspect/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<InspectPageMessage>();
