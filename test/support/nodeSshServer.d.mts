/** An SSH server in this process, its keys and the configuration of its clients in a folder. */
export class NodeSshServer {
  static start(folder: string): Promise<NodeSshServer>;
  /** Changes the bytes that clients send to their commands. */
  tamper: (bytes: Buffer) => Buffer;
  /** How long what commands print is gathered, to be sent in one piece. */
  gatherMs: number;
  file(name: string): string;
  /** `known`: the host key that clients know; `key`: that of the user; `host`: its address. */
  writeConfig(change: {
    readonly known?: string | null;
    readonly key?: string;
    readonly host?: string;
  }): void;
  up(): Promise<void>;
  /** Ends, and all connections with it: nothing is said to their clients. */
  down(): Promise<void>;
}
