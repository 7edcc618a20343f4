import type { OverlayPageMessage, OverlayPageState } from '../../src/shared/pages/overlay/protocol';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<OverlayPageMessage, OverlayPageState>();
