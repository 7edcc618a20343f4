// npm run bench:rounding -- --base FILE.gguf --text FILE: what rounded products cost (rounding.ts).
import { ourProgram } from './ours.mjs';

const measured = (await ourProgram('test/bench/rounding.ts'))(process.argv.slice(2));
console.log(JSON.stringify(measured));
