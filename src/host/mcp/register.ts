import { existsSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { privacy } from '../engine/launcher';
import { MCP_PROVIDER } from '../manifest/ids';
import { RUNTIME_SECTION, runtimeVariables } from '../runtime/runtimeSettings';
import type { Services } from '../services';

type Variables = Readonly<Record<string, string>>;

/** What VS Code has for servers of tools since version 1.101. */
interface McpApi {
  readonly McpStdioServerDefinition?: new (
    label: string,
    command: string,
    args: string[],
    env: Variables,
    version: string,
  ) => object;
  readonly lm: {
    readonly registerMcpServerDefinitionProvider?: (
      id: string,
      provider: {
        readonly onDidChangeMcpServerDefinitions: vscode.Event<void>;
        readonly provideMcpServerDefinitions: () => object[];
      },
    ) => vscode.Disposable;
  };
}

/** Offers `lora mcp` for each folder of the workspace to VS Code's agents, where it has the API. */
export function registerMcp({ cli, context }: Services): vscode.Disposable {
  const { McpStdioServerDefinition: Definition, lm } = vscode as unknown as McpApi;
  if (!Definition || !lm.registerMcpServerDefinitionProvider) return vscode.Disposable.from();
  const { version } = context.extension.packageJSON as { readonly version: string };
  const home = vscode.Uri.joinPath(context.globalStorageUri, 'runtime').fsPath;
  const changed = new vscode.EventEmitter<void>();
  const definitionOf = ({ uri, name }: vscode.WorkspaceFolder) =>
    new Definition(
      `LoRA Workbench (${name})`,
      process.execPath,
      [cli, 'mcp', '--root', uri.fsPath],
      variablesOf(home),
      version,
    );
  return vscode.Disposable.from(
    changed,
    vscode.workspace.onDidGrantWorkspaceTrust(() => changed.fire()),
    vscode.workspace.onDidChangeWorkspaceFolders(() => changed.fire()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration(RUNTIME_SECTION)) changed.fire();
    }),
    lm.registerMcpServerDefinitionProvider(MCP_PROVIDER, {
      onDidChangeMcpServerDefinitions: changed.event,
      // it starts trainings of what the folder holds
      provideMcpServerDefinitions: () =>
        vscode.workspace.isTrusted
          ? (vscode.workspace.workspaceFolders ?? []).filter(isLocal).map(definitionOf)
          : [],
    }),
  );
}

/** As the command `lora` of the terminal has them; what is not chosen stays as it is. */
function variablesOf(home: string): Variables {
  const all = {
    ...runtimeVariables(),
    ...privacy(),
    LORA_RUNTIME_HOME: existsSync(home) ? home : null,
    ELECTRON_RUN_AS_NODE: '1',
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}

const isLocal = ({ uri }: vscode.WorkspaceFolder): boolean =>
  uri.scheme === 'file' && path.isAbsolute(uri.fsPath);
