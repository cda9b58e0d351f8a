"""Names by which files of any maker say what they hold, each list spelled once; imports nothing."""

# Under which tables have their ids, in lower case
USER_NAMES = tuple("user_id userid user uid user_token reviewerid customer_id visitor visitor_id".split())
ITEM_NAMES = tuple("item_id itemid item iid item_token asin product_id video video_id movieid movie_id".split())
