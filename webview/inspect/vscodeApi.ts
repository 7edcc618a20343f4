import type { InspectPageMessage } from '../../src/shared/inspection';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<InspectPageMessage>();
