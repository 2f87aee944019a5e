// The publickey step (RFC 4252 7), for keys of an agent and of files: offers one key or certificate after the other, and
// asks for a passphrase only once the server wants the key. Below: unlocking a key file.
import type { KeyObject } from 'node:crypto';
import { agentFlags, type Agent } from '../../keys/agent.ts';
import { AgentError } from '../../keys/agent-messages.ts';
import { endOf } from '../../keys/certificate.ts';
import { fingerprint } from '../../keys/fingerprint.ts';
import { KeyError } from '../../keys/private-key.ts';
import { publicKeyOf, shortTypeName, type PublicKey } from '../../keys/public-key.ts';
import { signWith } from '../../keys/sign.ts';
import { signatureChoices, type SignatureChoice } from '../../keys/algorithms.ts';
import { unlockInThread } from '../../keys/unlock.ts';
import { wireBoolean, wireReader, wireString } from '../../keys/wire.ts';
import { formatLogin } from '../../model/host.ts';
import { Secret } from '../../model/secret.ts';
import type { UserCertificate } from '../../model/session.ts';
import { shellWord } from '../../model/shell-word.ts';
import { gatherKeys, shownPath, type KeyFile, type KeyFileSecret, type KeyRing } from './key-files.ts';
import type { Login } from './login.ts';
import type { Refusal, StepEnd, Steps } from './methods.ts';
import { credentialName, refusalOfKey, type Offer } from './offers.ts';

/** An offer whose public half is known, with one way to sign it. */
interface Attempt {
  readonly offer: Offer;
  readonly key: PublicKey;
  readonly choice: SignatureChoice;
}

/** The keys of one login: what there is to offer, and what of it was offered. */
export class Keys {
  readonly #login: Login;
  #gathering: Promise<void> | null = null;
  #ring: KeyRing | null = null;
  #closed = false;
  /** Public blobs (base64) that the server has answered for. */
  readonly #answered = new Set<string>();
  /** Offers that led to nothing. */
  readonly #spent = new Set<Offer>();

  constructor(login: Login) {
    this.#login = login;
  }

  /** Looks for keys, once. */
  gather(): Promise<void> {
    this.#gathering ??= this.#gather();
    return this.#gathering;
  }

  async #gather(): Promise<void> {
    const { host, context, parts, remembered } = this.#login;
    await remembered.issued.renew(this.#login);
    const ring = await gatherKeys(host, context.environment, parts);
    this.#ring = ring;
    for (const obstacle of ring.obstacles) this.#login.block(obstacle);
    if (this.offers.length === 0) this.#login.mark('no-key');
    if (ring.agent === null) this.#login.mark('no-agent');
    if (this.#closed) ring.agent?.close(); // the dial was given up meanwhile
  }

  /** Frees the agent's socket. */
  close(): void {
    this.#closed = true;
    this.#ring?.agent?.close();
  }

  get offers(): readonly Offer[] {
    return this.#ring === null ? [] : [...this.#ring.offers.agent, ...this.#ring.offers.files];
  }

  /** The key or certificate has logged in there before. */
  isProven({ credential }: Offer): boolean {
    const { host, parts } = this.#login;
    return credential !== null && parts.proven.has(formatLogin(host), credential);
  }

  get someProven(): boolean {
    return this.offers.some((offer) => this.isProven(offer));
  }

  /** One was not refused before, or is locked away. */
  get someNew(): boolean {
    const { spurned } = this.#login;
    return this.offers.some(({ wire }) => wire === null || !spurned.has(refusalOfKey(wire.blob)));
  }

  /** Keys that are bound to a destination (ssh-add -h) sign only for a connection the agent was told of. */
  async bind(): Promise<void> {
    const { proof, sessionId } = this.#login.wire;
    if (this.#ring === null || proof === null || this.#ring.offers.agent.length === 0) return;
    await this.#ring.agent?.bind(proof.hostKey, sessionId, proof.signature).catch(() => false); // most keys need none of it
  }

  /** Steps of the `agent` method. */
  ofAgent(): Steps {
    return this.#stepsOf(() => this.#ring?.offers.agent ?? []);
  }

  /** Steps of the `publickey` method. An identity that is only in the agent counts as a file when `agent` is no method. */
  ofFiles(): Steps {
    return this.#stepsOf(() => (this.#login.host.auth.includes('agent') ? this.#files() : this.offers));
  }

  #files(): readonly Offer[] {
    return this.#ring?.offers.files ?? [];
  }

  #stepsOf(offers: () => readonly Offer[]): Steps {
    return {
      next: () => {
        const offer = offers().find((each) => this.#isOpen(each));
        return offer === undefined ? null : () => this.#step(offer);
      },
      heard: (end, own) => this.#heard(end, own),
    };
  }

  #isOpen(offer: Offer): boolean {
    if (this.#spent.has(offer)) return false;
    if (offer.wire !== null && this.#answered.has(offer.wire.blob.toString('base64'))) return false;
    return !this.#login.context.onlyProven || this.isProven(offer);
  }

  async #step(offer: Offer): Promise<StepEnd> {
    const end = await this.#offer(offer);
    if (offer.wire === null || end.kind === 'skipped' || end.kind === 'stop') this.#spent.add(offer);
    else this.#answered.add(offer.wire.blob.toString('base64'));
    // what the server took is never offered twice, whatever it says of methods
    if (end.kind === 'failure' && end.partial) this.#spent.add(offer);
    return end;
  }

  /** Refused as a method, not as a key: it may be wanted after another one (AuthenticationMethods password,publickey). */
  #heard(end: Refusal, own: boolean): void {
    if (own && !end.partial && !end.methods.includes('publickey')) this.#answered.clear();
  }

  async #offer(given: Offer): Promise<StepEnd> {
    const login = this.#login;
    const key = given.wire ?? (await publicHalf(login, given));
    if (key === null) return { kind: 'skipped' };
    const offer = given.wire === null ? nameUnlocked(login, given, key) : given;
    if (login.spurned.has(refusalOfKey(key.blob))) {
      login.tell(`${offer.words}: refused before, and not offered again`);
      return { kind: 'skipped' };
    }
    const { pubkey } = login.host.algorithms;
    const theirs = login.wire.signatureAlgorithms;
    const choices = signatureChoices(key.type, pubkey, theirs);
    if (choices.length === 0) {
      if (signatureChoices(key.type, [...(pubkey ?? []), 'ssh-rsa'], theirs).length > 0)
        login.mark('sha1-only');
      login.remark(`${offer.words}: no signature algorithm that both sides allow`);
      return { kind: 'skipped' };
    }
    let end: StepEnd = { kind: 'skipped' };
    for (const choice of choices) {
      end = await this.#offerOnce({ offer, key, choice });
      if (end.kind !== 'failure' || end.partial) break;
    }
    if (end.kind === 'failure' && !end.partial) noteRefused(login, offer, key);
    return end;
  }

  async #offerOnce(attempt: Attempt): Promise<StepEnd> {
    const login = this.#login;
    const { offer, key, choice } = attempt;
    login.begin(offer.words, {
      method: 'publickey',
      credential: offer.credential,
      refusal: refusalOfKey(key.blob),
      certificate: certificateOf(offer),
    });
    const named = [wireString(choice.requested), wireString(key.blob)];
    if (!signsAtOnce(offer)) {
      const reply = await login.request('publickey', [notSigned, ...named]);
      if (reply.kind !== 'key-accepted') return login.conclude(reply);
    }
    const reply = await login.requestSigned('publickey', [signed, ...named], (covered) =>
      this.#sign(attempt, covered),
    );
    return login.conclude(reply);
  }

  /** Null when there is no signature to be had: the notes say why. */
  async #sign(attempt: Attempt, covered: Buffer): Promise<Buffer | null> {
    const { signer } = attempt.offer;
    if (signer.by === 'agent') {
      const agent = this.#ring?.agent ?? null;
      return agent === null ? null : this.#signByAgent(attempt, agent, signer.blob, covered);
    }
    const { secret } = signer.file;
    const key = secret === null ? null : await unlockFile(this.#login, signer.file, secret);
    return key === null ? null : signWith(key, attempt.choice.signature, covered);
  }

  async #signByAgent(
    { offer, choice }: Attempt,
    agent: Agent,
    blob: Buffer,
    covered: Buffer,
  ): Promise<Buffer | null> {
    const flags = agentFlags[choice.signature as keyof typeof agentFlags] ?? 0;
    try {
      const signature = await agent.sign(blob, covered, flags);
      const made = wireReader(signature).text();
      if (made === choice.signature) return signature;
      this.#login.remark(`${offer.words}: the agent signs only with ${shortTypeName(made)} and SHA-1`);
    } catch (error) {
      if (!(error instanceof AgentError) && !(error instanceof RangeError)) throw error;
      this.#login.mark('unsigned');
      this.#login.remark(`${offer.words}: the agent did not sign (${error.message})`);
    }
    return null;
  }
}

/** Whether a signature follows (RFC 4252 7). */
const [notSigned, signed] = [wireBoolean(false), wireBoolean(true)];

/** Null for a plain key, and for a certificate without an end. */
function certificateOf({ certificate }: Offer): UserCertificate | null {
  const endsAtMs = certificate === null ? null : endOf(certificate);
  return certificate === null || endsAtMs === null ? null : { id: refusalOfKey(certificate.blob), endsAtMs };
}

/** A key in memory signs without asking first: that saves a round trip and bothers nobody. */
function signsAtOnce({ signer }: Offer): boolean {
  return signer.by === 'file' && signer.file.secret?.key !== null;
}

/** For the hint: which file it was, and whether the server may be too old for SHA-2 (it says what it knows since RFC 8308). */
function noteRefused(login: Login, { signer }: Offer, key: PublicKey): void {
  const { host, context, wire } = login;
  const [only, other] = host.identities;
  const chosen = host.identitiesOnly && other === undefined ? only : undefined;
  const path = signer.by === 'file' ? signer.file.path : chosen;
  if (path !== undefined) {
    const shown = shownPath(path, context.environment);
    login.refusedFile(/^[\w~./@%+:-]+$/.test(shown) ? shown : shellWord(path));
  }
  const configured = host.algorithms.pubkey?.includes('ssh-rsa') === true;
  if (key.type === 'ssh-rsa' && wire.signatureAlgorithms === null && !configured) login.mark('sha1-likely');
}

/** Encrypted PEM and PKCS#8 files hide their public half: only the passphrase tells what could be offered. */
async function publicHalf(login: Login, { signer }: Offer): Promise<PublicKey | null> {
  if (signer.by !== 'file' || signer.file.secret === null) return null;
  const key = await unlockFile(login, signer.file, signer.file.secret);
  return key === null ? null : publicKeyOf(key);
}

function nameUnlocked(login: Login, offer: Offer, key: PublicKey): Offer {
  const where =
    offer.signer.by === 'file' ? shownPath(offer.signer.file.path, login.context.environment) : '';
  return {
    ...offer,
    words: `key ${shortTypeName(key.type)} ${fingerprint(key.blob)} (${where})`,
    credential: credentialName(key, null),
  };
}

/** Passphrases that a person types for one file. */
const mostTries = 3;

/**
 * The key, or null when it cannot be had: the notes then say why. Two links that need one passphrase ask for it once.
 */
export async function unlockFile(
  login: Login,
  file: KeyFile,
  secret: KeyFileSecret,
): Promise<KeyObject | null> {
  if (secret.key !== null) return secret.key;
  return login.remembered.inTurn(`key ${file.path}`, () => unlock(login, file, secret));
}

async function unlock(login: Login, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const { host, remembered } = login;
  const before = remembered.opened(file.path, secret.stamp);
  if (before !== null) return before;
  try {
    const key =
      (await fromMemory(login, file, secret)) ??
      (await fromSource(login, file, secret)) ??
      (await fromPerson(login, file, secret));
    if (key !== null) remembered.keepOpened(host, file.path, secret.stamp, key);
    return key;
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    blocked(login, `${shown(login, file)}: ${error.message}`);
    return null;
  }
}

const shown = (login: Login, file: KeyFile): string => shownPath(file.path, login.context.environment);

/** Null for a wrong passphrase; throws KeyError for everything else. */
async function open(login: Login, secret: KeyFileSecret, passphrase: Secret): Promise<KeyObject | null> {
  try {
    return await (login.parts.unlock ?? unlockInThread)(secret.text, passphrase);
  } catch (error) {
    if (error instanceof KeyError && error.problem === 'passphrase-wrong') return null;
    throw error;
  }
}

async function fromMemory(login: Login, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const passphrase = login.remembered.passphrase(file.path);
  if (passphrase === null) return null;
  const key = await open(login, secret, passphrase);
  if (key === null) login.remembered.dropPassphrase(file.path);
  return key;
}

async function fromSource(login: Login, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const ref = login.host.passphrase;
  if (ref === null || ref.from === 'prompt') return null;
  const present = login.context.personPresent();
  const passphrase = await login.stored.read(ref, 'passphrase', file.path);
  if (!(passphrase instanceof Secret)) {
    if (!present) login.block(passphrase); // a person can still say it
    return null;
  }
  const key = await open(login, secret, passphrase);
  if (key === null) login.remark(`${shown(login, file)}: the stored passphrase is wrong`);
  return key;
}

async function fromPerson(login: Login, file: KeyFile, secret: KeyFileSecret): Promise<KeyObject | null> {
  const text = `Passphrase for ${shown(login, file)}`;
  for (let tries = 0; tries < mostTries; tries += 1) {
    const asked = await login.ask({ kind: 'passphrase', text, echo: false, fromServer: false, tries });
    if (asked.kind === 'nobody') {
      missing(login, file, text);
      return null;
    }
    if (asked.kind === 'declined') {
      blocked(login, `no passphrase was given for ${shown(login, file)}`);
      return null;
    }
    const key = await open(login, secret, asked.secret);
    if (key !== null) {
      login.remembered.keepPassphrase(login.host, file.path, asked.secret);
      return key;
    }
  }
  blocked(login, `${shown(login, file)}: the passphrase was wrong ${mostTries} times`);
  return null;
}

function missing(login: Login, file: KeyFile, text: string): void {
  login.missing({
    code: 'KEY_UNREADABLE',
    why: `${shown(login, file)} needs its passphrase, and nobody is here to type it`,
    hint: [
      { command: 'up', on: { host: login.host.name } },
      ` on a terminal; or ssh-add ${shellWord(shown(login, file))}; or `,
      { command: 'secret set', on: { words: [file.path] }, flags: 'passphrase' },
    ],
    question: { kind: 'passphrase', text },
    decisive: true,
  });
}

function blocked(login: Login, why: string): void {
  login.remark(why);
  login.block({ code: 'KEY_UNREADABLE', why, hint: null, question: null, decisive: true });
}
