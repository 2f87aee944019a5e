// `tunnel allow`: says what the project file of this folder does, and lets it be used as it is now.
import { allow as remember, consentDigest } from '../../config/consent.ts';
import { readDeclared } from '../../config/load.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import type { Run } from '../command.ts';
import { summaryLines, unwritable } from '../ready-config.ts';

export const allow: Run = async (context) => {
  const { path } = findConfig(context.places, context.facts, context.options.config);
  const declared = readDeclared(path, context.facts);
  const shown = shortPath(path, context.facts);
  context.talk(`${shown}`);
  for (const line of summaryLines(declared)) context.talk(line);
  const { stateDir } = context.places;
  try {
    await remember(stateDir, path, consentDigest(declared), context.now());
  } catch (thrown) {
    throw unwritable(stateDir, thrown);
  }
  context.out(`${shown} may be used as it is now`);
  return 0;
};
