import type { ConfigurePageMessage, ConfigurePageState } from '../../src/shared/configure';
import { vscodeApi } from '../shared/vscodeApi';

export const vscode = vscodeApi<ConfigurePageMessage, ConfigurePageState>();
