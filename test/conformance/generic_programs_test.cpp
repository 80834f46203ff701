// Go's test/typeparam/chans and orderedmap: functions over channels of any type, a channel as a
// lock, and a range over what a goroutine produces, which hears when its receiver has gone. Go needs
// a finalizer for that; here it is a destructor, so it is known at once.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ringo/leak_check.hpp>

#include "support.hpp"

using namespace ringo;

namespace {

template <class T>
Task<> send_all(Channel<T> out, std::vector<T> values) {
  for (T& value : values) co_await out.send(std::move(value));
  out.close();
}

template <class T>
Task<std::vector<T>> read_all(Channel<T> in) {
  std::vector<T> values;
  while (auto value = co_await in.recv()) values.push_back(std::move(*value));
  co_return values;
}

template <class T>
Task<> merge(Channel<T> a, Channel<T> b, Channel<T> out) {
  while (!a.is_nil() || !b.is_nil()) {
    auto got = co_await select_any{a.recv(), b.recv()};
    std::optional<T> value;
    Channel<T>* from = &a;
    if (got.index() == 0) {
      value = std::move(got).template get<0>();
    } else {
      value = std::move(got).template get<1>();
      from = &b;
    }
    if (value) {
      co_await out.send(std::move(*value));
    } else {
      *from = Channel<T>::nil();
    }
  }
  out.close();
}

template <class T>
Task<> filter(Channel<T> in, Channel<T> out, bool (*keep)(const T&)) {
  while (auto value = co_await in.recv()) {
    if (keep(*value)) co_await out.send(std::move(*value));
  }
  out.close();
}

/// The receiving end of a range: whoever drops it ends the range.
template <class T>
class Range {
 public:
  Range(Channel<T> values, Channel<> dropped) noexcept
      : values_(std::move(values)), dropped_(std::move(dropped)) {}
  Range(Range&&) = delete;
  ~Range() { dropped_.close(); }
  ReceiveOp<T> next() const noexcept { return values_.recv(); }

 private:
  Channel<T> values_;
  Channel<> dropped_;
};

/// The other end: false once nobody receives any more.
template <class T>
Task<bool> send_or_stop(Channel<T> values, Channel<> dropped, T value) {
  auto sent = co_await select_any{values.send(std::move(value)), dropped.recv()};
  co_return sent.index() == 0;
}

struct TreeNode {
  explicit TreeNode(std::string its_key) : key(std::move(its_key)) {}
  std::string key;
  std::unique_ptr<TreeNode> left;
  std::unique_ptr<TreeNode> right;
};

bool insert(std::unique_ptr<TreeNode>& root, const std::string& key) {
  std::unique_ptr<TreeNode>* place = &root;
  while (*place != nullptr) {
    if ((*place)->key == key) return false;
    place = key < (*place)->key ? &(*place)->left : &(*place)->right;
  }
  *place = std::make_unique<TreeNode>(key);
  return true;
}

Task<bool> walk(const TreeNode* node, Channel<std::string> values, Channel<> dropped) {
  if (node == nullptr) co_return true;
  bool more = co_await walk(node->left.get(), values, dropped);
  if (more) more = co_await send_or_stop(values, dropped, node->key);
  if (more) more = co_await walk(node->right.get(), values, dropped);
  co_return more;
}

Task<> iterate(std::shared_ptr<std::unique_ptr<TreeNode>> tree, Channel<std::string> values,
               Channel<> dropped) {
  co_await walk(tree->get(), values, dropped);
  values.close();
}

}  // namespace

RINGO_TEST("typeparam/chans: merged and filtered, nothing is lost") {
  Channel<int> a;
  Channel<int> b;
  Channel<int> merged;
  Channel<int> even;
  std::vector<int> low{1, 2, 3, 4, 5};
  std::vector<int> high{6, 7, 8};
  go(&send_all<int>, a, low);
  go(&send_all<int>, b, high);
  go(&merge<int>, a, b, merged);
  go(&filter<int>, merged, even, +[](const int& value) { return value % 2 == 0; });
  std::vector<int> got = co_await read_all(even);
  std::sort(got.begin(), got.end());
  CHECK(got == std::vector<int>{2, 4, 6, 8});
}

RINGO_TEST("typeparam/chans: a value in a channel belongs to one at a time") {
  Channel<int> exclusive(1);
  co_await exclusive.send(0);
  std::vector<JoinHandle<void>> users;
  for (int i = 0; i < 8; ++i) {
    users.push_back(go([exclusive]() -> Task<> {
      for (int n = 0; n < 100; ++n) {
        const int value = (co_await exclusive.recv()).value();
        CHECK_FALSE(exclusive.try_recv());
        co_await exclusive.send(value + 1);
      }
    }));
  }
  co_await test::join_all(users);
  CHECK(exclusive.try_recv() == 800);
}

RINGO_TEST("typeparam/orderedmap: a tree in order, by a goroutine that ends with its range") {
  auto tree = std::make_shared<std::unique_ptr<TreeNode>>();
  for (const char* key : {"m", "c", "x", "a", "e", "z", "d"}) CHECK(insert(*tree, key));
  CHECK_FALSE(insert(*tree, "e"));
  LeakCheck check;
  for (std::size_t limit : {std::size_t{0}, std::size_t{3}, std::size_t{99}}) {
    Channel<std::string> values;
    Channel<> dropped;
    go(iterate, tree, values, dropped);
    std::string got;
    {
      Range<std::string> range(values, dropped);
      while (got.size() < limit) {
        auto key = co_await range.next();
        if (!key) break;
        got += *key;
      }
    }
    CHECK_EQ(got, std::string("acdemxz").substr(0, limit));
    CHECK_EQ(co_await check.leaks(std::chrono::seconds(10)), "");
  }
}
