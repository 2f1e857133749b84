//! A member's node: the files that make one, and running it (docs/spec/members.md#folders).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealgate_ledger::Ledger;
use sealgate_ledger::account::{AccountPublic, NodeSecret};
use sealgate_ledger::genesis::{Genesis, Network};
use sealgate_ledger::member::{Certificate, Member, Policy};
use sealgate_ledger::simplex::{self, Authority, NodeConfig};
use sealgate_ods::keys::{RootFile, RootKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::ceremony::Finished;
use crate::files::{FileError, create_private_dir, read_bounded, read_json, write_json, write_private};
use crate::nodes::OwnNode;
use crate::owner::{ANSWER_WINDOW_BLOCKS, DENIALS_A_DAY, Owner, OwnerError, clock_ms};
use crate::parameters::Parameters;

/// The node's secret key.
const NODE_KEY_FILE: &str = "node.key";
/// The node's certificate, DER.
const CERTIFICATE_FILE: &str = "node.crt";
/// Where the node listens.
const NODE_FILE: &str = "node.json";
/// What a member gives to the consortium to be certified.
pub const REQUEST_FILE: &str = "member.request";
/// The consortium's certificate authority: its key, and its name.
const AUTHORITY_KEY_FILE: &str = "authority.key";
const AUTHORITY_NAME_FILE: &str = "authority.name";
/// What a node key that awaits its certificate ends in.
const NEXT: &str = "next";

/// Where a node listens; its administrator may change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// For other nodes, `address:port`.
    pub peer_listen: String,
    /// For requesters and the member's own commands, `address:port`.
    pub http_listen: String,
}

/// What a new network is made of.
pub struct NewNetwork<'a> {
    /// The folder, which gets one folder a member and one for the authority.
    pub dir: &'a Path,
    /// What the ledger is called.
    pub name: &'a str,
    /// What the members are called.
    pub members: &'a [String],
    /// The names of their machines, one a member; none puts all of them on this one.
    pub hosts: &'a [String],
    /// Ports: nodes listen from here plus 1 on, gateways from here plus 101 on; on machines of
    /// their own all have the first of them.
    pub base_port: u16,
    /// Whoever may read what answers told.
    pub auditor: Option<AccountPublic>,
    /// The finished ceremony; none draws parameters for development.
    pub ceremony: Option<Finished>,
}

/// One member's folder of a new network.
#[derive(Debug, Serialize)]
pub struct NewMember {
    /// What it is called.
    pub name: String,
    /// Its folder.
    pub data_dir: PathBuf,
    /// URL of its gateway.
    pub gateway: String,
    /// Where its node listens for the others.
    pub peer: String,
}

/// Makes a network whose nodes can be started at once, on this machine or, with the folders
/// carried there, on others.
///
/// # Errors
/// [`OwnerError`].
pub fn new_network(new: NewNetwork<'_>) -> Result<(Genesis, Vec<NewMember>), OwnerError> {
    let dir = new.dir;
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(FileError::content(dir, "the folder is not empty; choose another").into());
    }
    create_private_dir(dir).map_err(FileError::io(dir))?;
    let authority = make_authority(&dir.join("authority"), new.name)?;
    let mut made = Vec::new();
    let mut members = Vec::new();
    for (at, name) in (0u16..).zip(new.members) {
        let host = new.hosts.get(usize::from(at)).map(String::as_str);
        let step = if host.is_some() { 0 } else { at };
        let address =
            |host: &str, from: u16| format!("{host}:{}", new.base_port.saturating_add(from).saturating_add(step));
        let (reached, own) = host.map_or(("127.0.0.1", "127.0.0.1"), |host| (host, "0.0.0.0"));
        let (peer, http) = (address(reached, 1), address(reached, 101));
        let folder = dir.join(format!("node{}", at + 1));
        let listen = NodeFile { peer_listen: address(own, 1), http_listen: address(own, 101) };
        let mut member = request(&folder, name, &peer, &format!("http://{http}"), &listen)?;
        member.certificate = certify(&authority, &member)?;
        made.push(NewMember { name: name.clone(), data_dir: folder, gateway: member.gateway.clone(), peer });
        members.push(member);
    }
    let Some((first, folder)) = members.first().zip(made.first()).map(|(m, made)| (m.account.clone(), &made.data_dir))
    else {
        return Err(FileError::content(dir, "a network has at least one member").into());
    };
    let parameters = Parameters::in_folder(&folder.join("parameters"));
    let genesis = Genesis {
        name: new.name.to_owned(),
        operator: first,
        development: new.ceremony.is_none(),
        ceremony: new.ceremony.as_ref().map(|ceremony| ceremony.digest),
        circuits: match new.ceremony {
            Some(ceremony) => parameters.adopt(ceremony)?,
            None => parameters.generate_development()?,
        },
        network: Some(Network {
            authority: authority.certificate().map_err(|e| certificate_error(dir, &e))?,
            members: members.clone(),
        }),
        policy: Policy {
            open_enrolment: true,
            answer_window_blocks: ANSWER_WINDOW_BLOCKS,
            denials_a_day: DENIALS_A_DAY,
            auditor: new.auditor,
        },
        created_ms: clock_ms(),
    };
    let source = folder.join("parameters");
    for (member, made) in members.iter().zip(&made) {
        if made.data_dir != *folder {
            copy_folder(&source, &made.data_dir.join("parameters"))?;
        }
        finish(&made.data_dir, member, genesis.clone())?;
    }
    write_json(&dir.join("genesis.json"), &genesis, false)?;
    Ok((genesis, made))
}

/// Makes the folder of an organisation that wants to join, or be the founder of, a network: its
/// keys, and `member.request` for the consortium's authority.
///
/// # Errors
/// [`OwnerError`].
pub fn request(folder: &Path, name: &str, peer: &str, gateway: &str, listen: &NodeFile) -> Result<Member, OwnerError> {
    let account = Owner::make_keys(folder, name, &RootFile::Key(RootKey::generate()?))?;
    let node = new_node_key(&folder.join(NODE_KEY_FILE))?;
    write_json(&folder.join(NODE_FILE), listen, false)?;
    let member = Member {
        node_key: node.verify_key(),
        peer: peer.to_owned(),
        gateway: gateway.to_owned(),
        ..Member::operator(account.public())
    };
    write_json(&folder.join(REQUEST_FILE), &member, true)?;
    Ok(member)
}

/// Makes a new node key beside the one in use, and asks for its certificate.
///
/// # Errors
/// [`OwnerError`].
pub fn renew(folder: &Path, member: &Member) -> Result<Member, OwnerError> {
    let node = new_node_key(&next(folder))?;
    let member = Member { node_key: node.verify_key(), certificate: Certificate(Vec::new()), ..member.clone() };
    write_json(&folder.join(REQUEST_FILE), &member, true)?;
    Ok(member)
}

/// Certifies a member that its request names.
///
/// # Errors
/// [`OwnerError`].
pub fn certify_request(authority: &Path, request: &Path) -> Result<Member, OwnerError> {
    let mut member: Member = read_json(request)?;
    let name = read_json::<String>(&authority.join(AUTHORITY_NAME_FILE))?;
    let authority = Authority::new(&name, read_node_key(&authority.join(AUTHORITY_KEY_FILE))?);
    member.certificate = certify(&authority, &member)?;
    member.validate().map_err(|error| FileError::content(request, error))?;
    Ok(member)
}

/// Makes a folder a node's: the ledger's genesis and the certified member in it. In a folder that
/// is one already, the certified key takes the place of the one in use.
///
/// # Errors
/// [`OwnerError`].
pub fn join(folder: &Path, genesis: Genesis, member: &Member, parameters: Option<&Path>) -> Result<(), OwnerError> {
    let (current, next) = (folder.join(NODE_KEY_FILE), next(folder));
    if next.exists() && read_node_key(&next)?.verify_key() == member.node_key {
        std::fs::rename(&next, &current).map_err(FileError::io(&next))?;
    }
    if read_node_key(&current)?.verify_key() != member.node_key {
        return Err(FileError::content(&current, "the certificate is for another node's key").into());
    }
    if let Some(parameters) = parameters {
        copy_folder(parameters, &folder.join("parameters"))?;
    }
    if folder.join("ledger").exists() {
        return write_certificate(folder, member);
    }
    finish(folder, member, genesis)
}

fn finish(folder: &Path, member: &Member, genesis: Genesis) -> Result<(), OwnerError> {
    write_certificate(folder, member)?;
    Ok(sealgate_ledger::chain::make(&folder.join("ledger"), genesis)?)
}

fn write_certificate(folder: &Path, member: &Member) -> Result<(), OwnerError> {
    let path = folder.join(CERTIFICATE_FILE);
    Ok(write_private(&path, &member.certificate.0, true).map_err(FileError::io(&path))?)
}

/// Where a data folder's gateway listens, if it is a node's.
///
/// # Errors
/// [`FileError`].
pub fn http_listen(folder: &Path) -> Result<Option<String>, FileError> {
    let path = folder.join(NODE_FILE);
    if path.exists() { Ok(Some(read_json::<NodeFile>(&path)?.http_listen)) } else { Ok(None) }
}

/// Runs the node of a data folder.
///
/// # Errors
/// [`OwnerError`].
pub fn run(folder: &Path, ledger: &Path) -> Result<(Ledger, OwnNode), OwnerError> {
    let path = folder.join(NODE_FILE);
    let file: NodeFile = read_json(&path)?;
    let listen: SocketAddr = file
        .peer_listen
        .parse()
        .map_err(|_| FileError::content(&path, "'peer_listen' is no address and port, such as 0.0.0.0:7101"))?;
    let certificate = Certificate(read_bounded(&folder.join(CERTIFICATE_FILE), 1 << 16)?);
    let secret = read_node_key(&folder.join(NODE_KEY_FILE))?;
    let (ledger, status) = simplex::open_watched(ledger, NodeConfig::new(listen, secret, certificate))
        .map_err(|error| OwnerError::Node(error.to_string()))?;
    Ok((ledger, OwnNode::of(status)))
}

fn make_authority(folder: &Path, name: &str) -> Result<Authority, OwnerError> {
    create_private_dir(folder).map_err(FileError::io(folder))?;
    let key = new_node_key(&folder.join(AUTHORITY_KEY_FILE))?;
    write_json(&folder.join(AUTHORITY_NAME_FILE), &name, false)?;
    Ok(Authority::new(name, key))
}

fn certify(authority: &Authority, member: &Member) -> Result<Certificate, OwnerError> {
    let name = &member.account.name;
    authority.issue(name, &member.node_key).map_err(|error| certificate_error(Path::new(name), &error))
}

fn certificate_error(of: &Path, error: &dyn std::fmt::Display) -> OwnerError {
    FileError::content(of, error).into()
}

fn next(folder: &Path) -> PathBuf {
    folder.join(format!("{NODE_KEY_FILE}.{NEXT}"))
}

fn new_node_key(path: &Path) -> Result<NodeSecret, OwnerError> {
    let secret = NodeSecret::generate().map_err(|error| OwnerError::Randomness(error.to_string()))?;
    let text = Zeroizing::new(hex::encode(secret.seed()));
    write_private(path, text.as_bytes(), false).map_err(FileError::io(path))?;
    Ok(secret)
}

fn read_node_key(path: &Path) -> Result<NodeSecret, OwnerError> {
    let text = Zeroizing::new(read_bounded(path, 1 << 10)?);
    let damaged = || FileError::content(path, "no node's key: 64 hexadecimal digits; restore it from a copy");
    let mut seed = [0u8; 32];
    hex::decode_to_slice(text.trim_ascii(), &mut seed).map_err(|_| damaged())?;
    let secret = NodeSecret::from_seed(&seed);
    seed.zeroize();
    Ok(secret)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), OwnerError> {
    create_private_dir(to).map_err(FileError::io(to))?;
    for entry in std::fs::read_dir(from).map_err(FileError::io(from))? {
        let path = entry.map_err(FileError::io(from))?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            std::fs::copy(&path, to.join(name)).map_err(FileError::io(&path))?;
        }
    }
    Ok(())
}
