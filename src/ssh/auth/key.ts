// The publickey step (RFC 4252 7): offers one key or certificate, asks for a passphrase only once the server wants the key.
import { type Agent, agentFlags, AgentError } from '../../keys/agent.ts';
import { keyProbe, keyRequest } from './requests.ts';
import { publicKeyOf, shortTypeName, type PublicKey } from '../../keys/public-key.ts';
import { signWith } from '../../keys/sign.ts';
import {
  begin,
  pastedPath,
  remark,
  settle,
  shownPath,
  tell,
  type Scene,
  type StepEnd,
} from './login-scene.ts';
import { credentialName, type Offer } from './offers.ts';
import { refusalOfKey } from './refusals.ts';
import { signatureChoices, type SignatureChoice } from '../../keys/algorithms.ts';
import { unlockFile } from './unlock-file.ts';
import { wireReader } from '../../keys/wire.ts';
import { fingerprint } from '../../keys/fingerprint.ts';

export async function offerKey(scene: Scene, offer: Offer, agent: Agent | null): Promise<StepEnd> {
  const known = offer.wire ?? (await publicHalf(scene, offer));
  if (known === null) return { kind: 'skipped' };
  const named = offer.wire === null ? nameUnlocked(scene, offer, known) : offer;
  if (scene.spurned.has(refusalOfKey(known.blob))) {
    tell(scene, `${named.words}: refused before, and not offered again`);
    return { kind: 'skipped' };
  }
  const choices = signatureChoices(known.type, scene.host.algorithms.pubkey, scene.wire.signatureAlgorithms);
  if (choices.length === 0) {
    const old = [...(scene.host.algorithms.pubkey ?? []), 'ssh-rsa'];
    if (signatureChoices(known.type, old, scene.wire.signatureAlgorithms).length > 0)
      scene.notes.sha1 = 'only';
    remark(scene, `${named.words}: no signature algorithm that both sides allow`);
    return { kind: 'skipped' };
  }
  let end: StepEnd = { kind: 'skipped' };
  for (const choice of choices) {
    end = await offerOnce(scene, named, known, choice, agent);
    if (end.kind !== 'failure' || end.partial) break;
  }
  if (end.kind === 'failure' && !end.partial) noteRefused(scene, named, known);
  return end;
}

/** For the hint: which file it was, and whether the server may be too old for SHA-2 (it says what it knows since RFC 8308). */
function noteRefused({ host, context, wire, notes }: Scene, { signer }: Offer, key: PublicKey): void {
  const [only, other] = host.identities;
  const chosen = host.identitiesOnly && other === undefined ? only : undefined;
  const path = signer.by === 'file' ? signer.file.path : chosen;
  if (path !== undefined) notes.refusedFiles.push(pastedPath(path, context.environment));
  const configured = host.algorithms.pubkey?.includes('ssh-rsa') === true;
  if (key.type === 'ssh-rsa' && wire.signatureAlgorithms === null && !configured) notes.sha1 ??= 'likely';
}

async function offerOnce(
  scene: Scene,
  offer: Offer,
  key: PublicKey,
  choice: SignatureChoice,
  agent: Agent | null,
): Promise<StepEnd> {
  const { host, wire } = scene;
  begin(scene, offer.words, {
    method: 'publickey',
    credential: offer.credential,
    refusal: refusalOfKey(key.blob),
  });
  if (!signsAtOnce(offer)) {
    const reply = await wire.request('publickey', keyProbe(host.user, choice.requested, key.blob));
    if (reply.kind !== 'key-accepted') return finish(scene, reply);
  }
  const request = keyRequest(wire.sessionId, host.user, choice.requested, key.blob);
  const signature = await sign(scene, offer, choice.signature, request.covered, agent);
  if (signature === null) {
    scene.current = null;
    return { kind: 'skipped' };
  }
  return finish(scene, await wire.request('publickey', request.sealed(signature)));
}

function finish(scene: Scene, reply: { kind: string }): StepEnd {
  const end = reply as StepEnd;
  if (end.kind !== 'success' && end.kind !== 'failure') {
    scene.current = null; // a reply that has no place here: as if refused
    return { kind: 'skipped' };
  }
  settle(scene, end);
  return end;
}

/** A key in memory signs without asking first: that saves a round trip and bothers nobody. */
function signsAtOnce(offer: Offer): boolean {
  return offer.signer.by === 'file' && offer.signer.file.secret?.key !== null;
}

async function sign(
  scene: Scene,
  offer: Offer,
  algorithm: string,
  covered: Buffer,
  agent: Agent | null,
): Promise<Buffer | null> {
  const { signer } = offer;
  if (signer.by === 'agent')
    return agent === null ? null : signByAgent(scene, offer, signer.blob, algorithm, covered, agent);
  const { secret } = signer.file;
  const key = secret === null ? null : await unlockFile(scene, signer.file, secret);
  return key === null ? null : signWith(key, algorithm, covered);
}

async function signByAgent(
  scene: Scene,
  offer: Offer,
  blob: Buffer,
  algorithm: string,
  covered: Buffer,
  agent: Agent,
): Promise<Buffer | null> {
  const flags = agentFlags[algorithm as keyof typeof agentFlags] ?? 0;
  try {
    const signature = await agent.sign(blob, covered, flags);
    const made = wireReader(signature).text();
    if (made === algorithm) return signature;
    remark(scene, `${offer.words}: the agent signs only with ${shortTypeName(made)} and SHA-1`);
  } catch (error) {
    if (!(error instanceof AgentError) && !(error instanceof RangeError)) throw error;
    scene.notes.unsigned = true;
    remark(scene, `${offer.words}: the agent did not sign (${error.message})`);
  }
  return null;
}

/** Encrypted PEM and PKCS#8 files hide their public half: only the passphrase tells what could be offered. */
async function publicHalf(scene: Scene, offer: Offer): Promise<PublicKey | null> {
  if (offer.signer.by !== 'file' || offer.signer.file.secret === null) return null;
  const key = await unlockFile(scene, offer.signer.file, offer.signer.file.secret);
  return key === null ? null : publicKeyOf(key);
}

function nameUnlocked(scene: Scene, offer: Offer, key: PublicKey): Offer {
  const where =
    offer.signer.by === 'file' ? shownPath(offer.signer.file.path, scene.context.environment) : '';
  return {
    ...offer,
    words: `key ${shortTypeName(key.type)} ${fingerprint(key.blob)} (${where})`,
    credential: credentialName(key, null),
  };
}
