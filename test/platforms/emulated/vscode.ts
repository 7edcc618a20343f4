/** What the extension's code that runs in an emulator takes from VS Code. */
export const workspace = { workspaceFolders: [] };
