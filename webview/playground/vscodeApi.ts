import type { PlaygroundPageMessage, PlaygroundPageState } from '../../src/shared/playground';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<PlaygroundPageMessage, PlaygroundPageState>();
