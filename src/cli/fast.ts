// The fast ways: `status` of a running supervisor, completion, --version and --help, without a parser, yaml, zod or ssh2 (SPEC 6).
import { createContext } from './context.ts';
import type { Context } from '../client/context.ts';
import { print } from './output.ts';

interface PlainStatus {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean | undefined;
  readonly check: boolean;
  readonly selectors: readonly string[];
}

/** The exit code, or null where the command line asks for more than is done here. */
export async function fast(args: readonly string[]): Promise<number | null> {
  if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
    const { version } = await import('../model/version.ts');
    (await contextOf({})).out(version);
    return 0;
  }
  if (args.length === 0 || (args.length === 1 && (args[0] === '--help' || args[0] === '-h'))) {
    const { mainHelp } = await import('./help.ts');
    const context = await contextOf({});
    context.out(mainHelp(context.paint));
    return 0;
  }
  if (args[0] === '__complete') {
    const { complete } = await import('./complete.ts');
    return complete(args.slice(1), await contextOf({}));
  }
  const plain = readPlainStatus(args);
  return plain === null ? null : fastStatus(plain);
}

const contextOf = (options: Partial<PlainStatus>): Promise<Context> =>
  createContext(
    {
      config: options.config,
      json: options.json ?? false,
      quiet: options.quiet ?? false,
      verbose: false,
      color: options.color,
    },
    () => {
      throw new RangeError('a quick command asks nothing');
    },
    print,
  );

/** Null where no supervisor runs: then the config must be read. Null too on any fault: the slow way tells it. */
async function fastStatus(plain: PlainStatus): Promise<number | null> {
  const context = await contextOf(plain);
  try {
    const { ask, locateTarget } = await import('../client/supervisor.ts');
    const { selectors } = plain;
    const document = await ask(locateTarget(context), 'status', { selectors }, { last: true });
    if (document === null) return null;
    const { showStatus } = await import('./show-status.ts');
    const check = plain.check ? plain.selectors : null;
    return showStatus(context, document, { check, problems: false });
  } catch {
    return null;
  }
}

/** `status` with nothing but its plain options; null for anything else, which the parser sees to. */
export function readPlainStatus(args: readonly string[]): PlainStatus | null {
  const words: string[] = [];
  const flags = { json: false, quiet: false, check: false };
  let config: string | undefined;
  let color: boolean | undefined;
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '--json') flags.json = true;
    else if (arg === '--check') flags.check = true;
    else if (arg === '--quiet' || arg === '-q') flags.quiet = true;
    else if (arg === '--color') color = true;
    else if (arg === '--no-color') color = false;
    else if (arg === '-c' || arg === '--config') {
      config = args[(at += 1)];
      if (config === undefined || config === '') return null;
    } else if (arg.startsWith('--config=') && arg.length > 9) config = arg.slice(9);
    else if (arg.startsWith('-')) return null;
    else words.push(arg);
  }
  if (words[0] !== 'status') return null;
  return { ...flags, config, color, selectors: words.slice(1) };
}
