import type { ServerOptions } from '@modelcontextprotocol/sdk/server/index.js';
import type { Protocol, RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type {
  CallToolResult,
  Implementation,
  ServerNotification,
  ServerRequest,
  ServerResult,
  Tool,
} from '@modelcontextprotocol/sdk/types.js';
import { expectedError } from '../../common/expectedError';
import { AGENT_TOOLS, agentTool, type AgentTool } from '../../shared/agentTools';
import { LoraError } from '../../shared/errors';
import { oneLine, visibleControls } from '../../shared/plainText';
import { messageOutput } from '../terminal';
import type { ToolAnswer, ToolCall, Tools } from './tools';

/** What a server needs from the process that it runs in. */
export interface McpOptions {
  readonly version: string;
  /** Ends the server. */
  readonly signal: AbortSignal;
  /** Writes a line to standard error, which clients keep as a log. */
  readonly note: (text: string) => void;
}

/** The SDK's server below its high-level one, which takes 27 kB more, compressed. */
interface LowLevelSdk {
  readonly Server: new (
    info: Implementation,
    options: ServerOptions,
  ) => Protocol<ServerRequest, ServerNotification, ServerResult>;
}

/** A client that sends a longer message is not served any further. */
const MAX_MESSAGE_BYTES = 2 ** 20;
/** Runs may be untrusted: longer data is left out, longer texts are cut. */
const MAX_ANSWER_CHARACTERS = 2 ** 18;
/** The most faults of a client that are written to the log. */
const MAX_NOTES = 20;
const MAX_NOTE_CHARACTERS = 300;

const INSTRUCTIONS =
  'Tools for the LoRA training runs of one folder. Paths are relative to it; nothing outside of it is used.';

/**
 * Serves the tools to one client of the Model Context Protocol on standard input and output, until
 * the client is gone or `signal` is aborted.
 */
export async function serveMcp(tools: Tools, { version, signal, note }: McpOptions): Promise<void> {
  const { Server }: LowLevelSdk = await import('@modelcontextprotocol/sdk/server/index.js');
  const { StdioServerTransport } = await import('@modelcontextprotocol/sdk/server/stdio.js');
  const { CallToolRequestSchema, ListToolsRequestSchema, ErrorCode, McpError } =
    await import('@modelcontextprotocol/sdk/types.js');
  const server = new Server(
    { name: 'lora-workbench', title: 'LoRA Workbench', version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.values(AGENT_TOOLS).map(listedTool),
  }));
  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => {
    const tool = agentTool(params.name);
    if (!tool) throw new McpError(ErrorCode.InvalidParams, `There is no tool ${params.name}.`);
    return resultOf(() => tools.answer(tool, params.arguments, callOf(extra)));
  });
  const output = messageOutput();
  let faults = 0;
  server.onerror = ({ message }) => {
    if (faults++ < MAX_NOTES) note(oneLine(message).slice(0, MAX_NOTE_CHARACTERS));
  };
  const transport = new StdioServerTransport(process.stdin, output, {
    maxBufferSize: MAX_MESSAGE_BYTES,
  });
  const closed = new Promise<void>((resolve) => {
    server.onclose = resolve;
  });
  const close = () => void server.close();
  for (const event of ['end', 'close', 'error']) process.stdin.once(event, close);
  output.once('error', close);
  signal.addEventListener('abort', close, { once: true });
  await server.connect(transport);
  await closed;
  process.stdin.destroy();
}

function listedTool({ name, title, description, inputSchema, readOnly }: AgentTool): Tool {
  return {
    name,
    title,
    description,
    inputSchema: JSON.parse(
      JSON.stringify({ ...inputSchema, additionalProperties: false }),
    ) as Tool['inputSchema'],
    annotations: {
      title,
      readOnlyHint: readOnly,
      destructiveHint: false,
      idempotentHint: readOnly,
      openWorldHint: false,
    },
  };
}

/** The result of a call; errors are reported to the language model, which may try again. */
async function resultOf(answer: () => Promise<ToolAnswer>): Promise<CallToolResult> {
  try {
    const { text, facts } = await answer();
    const isShort = JSON.stringify(facts).length <= MAX_ANSWER_CHARACTERS;
    return { content: [shown(text)], ...(isShort && { structuredContent: facts }) };
  } catch (error) {
    const text = (expectedError(error) ?? LoraError.from(error, 'engine')).describe();
    return { isError: true, content: [shown(text)] };
  }
}

const shown = (text: string) => ({
  type: 'text' as const,
  text: visibleControls(text.slice(0, MAX_ANSWER_CHARACTERS)),
});

/** Progress is sent to clients that ask for it. It never goes back: phases follow each other. */
function callOf(extra: RequestHandlerExtra<ServerRequest, ServerNotification>): ToolCall {
  const { signal, _meta: meta } = extra;
  const token = meta?.progressToken;
  let [phases, current, last] = [-1, '', 0];
  return {
    signal,
    onProgress: (phase, fraction) => {
      if (phase !== current) [phases, current] = [phases + 1, phase];
      const progress = phases + fraction;
      if (token === undefined || !(progress > last)) return;
      last = progress;
      const params = { progressToken: token, progress, message: phase };
      void extra
        .sendNotification({ method: 'notifications/progress', params })
        .catch(() => undefined);
    },
  };
}
