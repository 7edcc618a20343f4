import * as vscode from 'vscode';
import { ExtensionLog } from '../errors/extensionLog';

/** Opens the extension's log, an output channel. */
export const openLog = (name: string): ExtensionLog =>
  new ExtensionLog(vscode.window.createOutputChannel(name, { log: true }));
