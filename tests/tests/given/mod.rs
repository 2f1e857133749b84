//! Assets that an owner did not register itself, but was given.

use sealgate_gateway::account_file;
use sealgate_gateway::owner::{Owner, signed};
use sealgate_ledger::account::AccountSecret;
use sealgate_ledger::block::Receipt;
use sealgate_ledger::ids::AssetId;
use sealgate_ledger::tx::TxBody;
use sealgate_ledger::{Ledger, SubmitError};
use sealgate_tests::{Table, World};

/// The ledger of the owner's folder, which nobody serves.
fn ledger(owner: &Owner) -> Ledger {
    Ledger::open(&owner.ledger_folder(), owner.account().clone()).unwrap()
}

fn owner(world: &World) -> Owner {
    Owner::open(world.path("owner").as_ref()).unwrap()
}

/// Submits what an account's own software would not.
pub fn submit(world: &World, who: &AccountSecret, body: TxBody) -> Result<Receipt, SubmitError> {
    let ledger = ledger(&owner(world));
    ledger.submit(signed(ledger.genesis(), ledger.head().height, who, body).unwrap())
}

/// The transfer of an asset as it stands to an account that agrees to it.
pub fn transfer(world: &World, asset: AssetId, to: &AccountSecret) -> TxBody {
    let ledger = ledger(&owner(world));
    let (view, chain) = (ledger.asset(&asset).unwrap().unwrap(), ledger.genesis().chain_id());
    let consent = view.handing(chain, to.address(), ledger.head().height.plus(10)).sign(to);
    TxBody::Transfer { asset, to: to.address(), consent }
}

/// The asset `plans`, of the form of the owner's `shop`, that the account `giver` registered and gave to the
/// owner, with new keys and nothing that they open; and its manifest.
pub fn plans(world: &World) -> (AssetId, String) {
    let manifest = Table { name: "plans".into(), ..Table::shops(10) }.write(world.dir.path());
    let (owner, giver) = (owner(world), account_file::load(world.path("giver").as_ref()).unwrap());
    let chain = world.fingerprint.parse().unwrap();
    let id = AssetId::of(&chain, &giver.address(), "plans");
    let register = {
        let ledger = ledger(&owner);
        let shop = ledger.asset_owned(&owner.account().address(), "shop").unwrap().unwrap();
        TxBody::RegisterAsset {
            name: "plans".into(),
            title: "Plans".into(),
            description: String::new(),
            data_type: shop.data_type,
            schema: shop.schema,
            budgets: shop.budgets,
            place_key: shop.place_key,
            version: ledger.version(&shop.id, 1).unwrap().unwrap().info,
        }
    };
    let open = TxBody::OpenAccount { account: giver.public().clone(), identity: vec![] };
    submit(world, &giver, open).unwrap();
    submit(world, &giver, register).unwrap();
    submit(world, &giver, transfer(world, id, owner.account())).unwrap();
    owner.asset_keys_or_new(&id).unwrap();
    (id, manifest.display().to_string())
}
