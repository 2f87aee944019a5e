// The config, ready for use: found, without a fault, and allowed where somebody else may have written it (SPEC 1).
import { allow, consentDigest, isAllowed, summarizeProject } from '../config/consent.ts';
import type { Declared } from '../config/declared.ts';
import { loadConfig, readDeclared } from '../config/load.ts';
import { findConfig, shortPath, type FoundConfig } from '../config/locate.ts';
import { TunnelError } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { shellWord } from '../model/shell-word.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import { Interrupted, type Context } from './context.ts';

export interface ReadyConfig extends FoundConfig {
  readonly resolved: ResolvedConfig;
}

/**
 * Throws CONFIG_MISSING, CONFIG_INVALID with every issue, or CONFIG_NOT_ALLOWED. On a terminal a project file is summed
 * up and asked for; naming a file is consent.
 */
export async function readyConfig(context: Context): Promise<ReadyConfig> {
  const found = findConfig(context.places, context.facts, context.options.config);
  await consentTo(context, found);
  const resolved = await loadConfig(
    found.path,
    context.facts,
    found.project ? { allowedIn: context.places.stateDir } : {},
  );
  return { ...found, resolved };
}

async function consentTo(context: Context, found: FoundConfig): Promise<void> {
  if (!found.project && !found.named) return;
  const declared = readDeclared(found.path, context.facts);
  const digest = consentDigest(declared);
  const { stateDir } = context.places;
  if (isAllowed(stateDir, found.path, digest)) return;
  if (found.project && !(await agreed(context, found.path, declared))) throw notAllowed(context, found.path);
  try {
    await allow(stateDir, found.path, digest, context.now());
  } catch (thrown) {
    // A named file is used all the same where nothing can be remembered (a read-only home in a container).
    if (found.project) throw unwritable(stateDir, thrown);
  }
}

/** Sums up and asks; false off a terminal. */
async function agreed(context: Context, path: string, declared: Declared): Promise<boolean> {
  if (!context.interactive) return false;
  context.say(`${shortPath(path, context.facts)} is used here for the first time, or it has changed. It`);
  for (const line of summaryLines(declared)) context.say(line);
  const prompter = context.prompter();
  const outcome = await prompter.confirm('Use it? yes or no');
  if (outcome.kind === 'interrupted') throw new Interrupted('SIGINT');
  return outcome.kind === 'answered';
}

export function summaryLines(declared: Declared): string[] {
  return summarizeProject(declared).map(({ what, items }) => `  ${what} ${items.join(', ')}`);
}

function notAllowed(context: Context, path: string): TunnelError {
  const shown = shortPath(path, context.facts);
  return new TunnelError(
    'CONFIG_NOT_ALLOWED',
    `${shown} is not allowed yet: it was found in this folder, and somebody else may have written it`,
    { hint: 'tunnel allow' },
  );
}

export function unwritable(stateDir: string, thrown: unknown): TunnelError {
  if (thrown instanceof TunnelError && thrown.code !== 'INTERNAL') return thrown;
  const { code, message } = (thrown instanceof TunnelError ? (thrown.cause ?? thrown) : thrown) as Error & {
    code?: string;
  };
  const why = errnoWords(code) ?? message;
  return new TunnelError('CONFIG_NOT_ALLOWED', `cannot remember what is allowed, in ${stateDir}: ${why}`, {
    hint: `ls -ld ${shellWord(stateDir)}`,
    cause: thrown,
  });
}
